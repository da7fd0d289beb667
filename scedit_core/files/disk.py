"""Tensors and settings of a tuner file or published folder, as they lie on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import SCEditError, shown
from .archives import read_pytorch
from .durable import PART, write_whole
from .limits import MOST_HEADER, MOST_JSON, MOST_TENSORS_READ

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")

# File names that the authors' tools write; a published folder holds one of them, often one folder deeper.
PUBLISHED_NAMES = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_model.bin",
    "pytorch_scedit_weights.safetensors",
)

_OURS = "SCETuning"


@dataclass(frozen=True)
class TensorFile:
    """What a weight file holds; `metadata` is its own (safetensors only), `config` the JSON beside it.

    `notes` say what was chosen where there was more than one thing to read.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def published_weights(folder: Path) -> list[Path]:
    """The weight files of SCEdit tuners in a folder as the authors publish or train them, one per adapter."""
    found = []
    for place in _places(folder):
        # os.path.isfile, which unlike Path.is_file takes what lies in a locked folder for not there
        file = next((place / name for name in PUBLISHED_NAMES if os.path.isfile(place / name)), None)
        if file is not None and _swift_type(place) == _OURS:
            found.append(file)
    return found


def _places(folder: Path) -> list[Path]:
    """A folder and those in it, where adapters may lie."""
    try:
        inside = sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError as error:
        raise SCEditError(
            f"the folder '{shown(folder.name)}' cannot be read ({error.strerror}); check its permissions"
        ) from error
    return [folder, *(child for child in inside if child.suffix != PART)]


def _swift_type(folder: Path) -> str:
    """What kind of adapter swift says it is; a folder without a word on it is taken for a tuner's."""
    return str(_read_json(folder / "adapter_config.json").get("swift_type", _OURS))


def _others(folder: Path) -> str:
    """The adapters of other kinds in a folder, such as the authors' 1_SwiftLoRA, for a sentence."""
    kinds = {place.name: _swift_type(place) for place in _places(folder)[1:]}
    return ", ".join(f"{shown(name)} ({shown(kind)})" for name, kind in kinds.items() if kind != _OURS)


def _chosen(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The tuner that a folder stands for, and what there is to say of the others in it."""
    found, others = published_weights(folder), _others(folder)
    if not found:
        locked = [shown(place.name) for place in _places(folder) if not os.access(place, os.R_OK | os.X_OK)]
        rest = f"; it holds {others}, which no SCEdit node reads" if others else ""
        rest += f"; {', '.join(locked[:3])} in it may not be read, check the permissions" if locked else ""
        raise SCEditError(
            f"'{shown(folder.name)}' is a folder without tuner weights; expected "
            f"{' or '.join(PUBLISHED_NAMES)} in it or in a folder inside it, such as 0_SwiftSCETuning; copy "
            f"the whole published folder{rest}"
        )
    notes = [f"{others} beside it was left alone: it is no SCEdit tuner"] if others else []
    if len(found) > 1:
        first, *more = (shown(file.parent.name) for file in found)
        notes.append(
            f"the folder holds several tuners; '{first}' is used, choose {' or '.join(more)} in it "
            "for another"
        )
    return found[0], tuple(notes)


def read_tensors(path: Path, *, mapped: bool = True) -> TensorFile:
    """Read a weight file, or the one in a published folder, without running any code that it may hold.

    Tensors of safetensors and of archives stay in the file until they are used: it is mapped into memory.
    With `mapped` off they are copied, and the file may be written over. Raises SCEditError for what is no
    whole weight file, and for what asks for more than `limits` allow before it is made.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SCEditError(
            f"the name {shown(path.name)} is no text in UTF-8; rename the file or folder"
        ) from error
    file, notes = _chosen(path) if os.path.isdir(path) else (path, ())
    with _opened(file) as opened:
        if file.suffix.lower() == ".safetensors":
            tensors, metadata = _read_safetensors(opened, file)
        else:
            tensors, metadata = read_pytorch(opened, file), {}
    if not mapped:
        tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    config = _read_json(file.parent / "configuration.json")
    return TensorFile(file, tensors, metadata, config, notes)


def _opened(file: Path) -> BinaryIO:
    """A plain file, open to be read; pipes and devices are none."""
    try:
        if os.path.isfile(file):
            return file.open("rb")
        os.stat(file)
    except PermissionError as error:
        raise SCEditError(
            f"'{shown(file.name)}' is locked: it may not be read; close the program that has it open, or "
            "check its permissions"
        ) from error
    except (OSError, ValueError) as error:
        raise SCEditError(
            f"'{shown(file.name)}' is no file or folder; choose a tuner file that exists"
        ) from error
    raise SCEditError(f"'{shown(file.name)}' is no file or folder; choose a tuner file that exists")


def _read_safetensors(opened: BinaryIO, file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, the header's size and their number looked at first."""
    try:
        size = int.from_bytes(opened.read(8), "little")
        if size > MOST_HEADER:
            raise SafetensorError(f"a header of {size} bytes, at most {MOST_HEADER} are read")
        with safe_open(file, framework="pt") as found:
            if len(found.keys()) > MOST_TENSORS_READ:
                raise SafetensorError(f"{len(found.keys())} tensors, at most {MOST_TENSORS_READ} are read")
            return {key: found.get_tensor(key) for key in found.keys()}, found.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise SCEditError(
            f"'{shown(file.name)}' is no whole safetensors file ({shown(error)}); it may be truncated, "
            "get it again"
        ) from error


def _read_json(file: Path) -> dict[str, Any]:
    if not os.path.isfile(file):
        return {}
    try:
        if file.stat().st_size > MOST_JSON:
            raise ValueError(f"{file.stat().st_size} bytes are no settings")
        settings = json.loads(file.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise SCEditError(
            f"'{file.name}' beside the tuner is locked: it may not be read; check its permissions"
        ) from error
    except (ValueError, RecursionError, OSError) as error:
        raise SCEditError(
            f"'{file.name}' beside the tuner is not JSON ({shown(error)}); get it again with its tuner"
        ) from error
    return settings if isinstance(settings, dict) else {}


def write_tensors(target: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, the same bytes for the same content, and the folders that it needs.

    It appears whole or not at all and outlasts a power cut: its bytes are on the disk before it gets its name
    and the name is on the disk when this returns (fsync of file and folder, the latter not on Windows).
    Raises SCEditError if it cannot be written; then nothing of it is left.
    """
    write_whole(target, *_serialized(tensors, metadata))


def _serialized(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Header and body of a safetensors file; the library alone writes the metadata in a random order."""
    whole = save(dict(tensors), metadata=dict(metadata))
    body = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:body])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the body is aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text, memoryview(whole)[body:]
