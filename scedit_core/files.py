"""Tensors and settings of a tuner file or published folder, as they lie on disk."""

from __future__ import annotations

import json
import secrets
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import SCEditError, shown

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")

# File names that the authors' tools write; a published folder holds one of them, often one folder deeper.
PUBLISHED_NAMES = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_model.bin",
    "pytorch_scedit_weights.safetensors",
)

# Reached through torch: scanners flag any import of pickle, and this is only the name of an error.
_Refused = torch.serialization.pickle.UnpicklingError  # pyright: ignore[reportPrivateImportUsage]

_OURS = "SCETuning"
_MOST_JSON = 1_000_000  # the authors' settings have some 500 bytes

# What torch.load raises for a torn file, by where it was torn: OSError and BadZipFile where the directory of
# the zip is cut, struct.error and AssertionError in files older than the zip layout; MemoryError and
# OverflowError where a length is damaged.
_TORN_PICKLE = (
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


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
        file = next((place / name for name in PUBLISHED_NAMES if (place / name).is_file()), None)
        if file is not None and _swift_type(place) == _OURS:
            found.append(file)
    return found


def _places(folder: Path) -> list[Path]:
    """A folder and those in it, where adapters may lie."""
    try:
        return [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
    except OSError as error:
        raise SCEditError(
            f"the folder '{shown(folder.name)}' cannot be read ({error.strerror}); check its permissions"
        ) from error


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
        rest = f"; it holds {others}, which no SCEdit node reads" if others else ""
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


def read_tensors(path: Path) -> TensorFile:
    """Read a weight file, or the one in a published folder, without running any code that it may hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SCEditError(
            f"the name {shown(path.name)} is no text in UTF-8; rename the file or folder"
        ) from error
    file, notes = _chosen(path) if path.is_dir() else (path, ())
    if not file.is_file():
        raise SCEditError(f"'{shown(path.name)}' is no file or folder; choose a tuner file that exists")
    is_safetensors = file.suffix.lower() == ".safetensors"
    tensors, metadata = _read_safetensors(file) if is_safetensors else (_read_pickle(file), {})
    config = _read_json(file.parent / "configuration.json")
    return TensorFile(file, tensors, metadata, config, notes)


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors that stay in the file until they are used: it is mapped into memory."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise SCEditError(
            f"'{shown(file.name)}' is no whole safetensors file ({shown(str(error))}); it may be truncated, "
            "get it again"
        ) from error


def _read_pickle(file: Path) -> dict[str, Tensor]:
    is_archive = _is_archive(file)
    try:
        is_plain = not is_archive or _is_stored(file)
        # an archive stays in the file until it is used, the older kinds are read as a whole
        loaded = is_plain and torch.load(file, map_location="cpu", weights_only=True, mmap=is_archive)
    except _Refused as error:
        raise SCEditError(
            f"'{shown(file.name)}' was refused: it is truncated or holds more than tensors, which could run "
            "code; get it from its author again, if possible as safetensors"
        ) from error
    except _TORN_PICKLE as error:
        raise SCEditError(
            f"'{shown(file.name)}' is no whole PyTorch weight file ({type(error).__name__}); it may be "
            "truncated, get it again"
        ) from error
    if not is_plain:
        raise SCEditError(
            f"'{shown(file.name)}' was refused: it is a compressed archive or unpacks to more than its size, "
            "which no weight file does; get it from its author again, if possible as safetensors"
        )
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise SCEditError(
            f"'{shown(file.name)}' holds no plain dictionary of tensors; it is not an SCEdit tuner"
        )
    return loaded


def _is_archive(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(4) == b"PK\x03\x04"
    except PermissionError as error:
        raise SCEditError(f"'{shown(file.name)}' cannot be read; check its permissions") from error


def _is_stored(file: Path) -> bool:
    """True for an archive that unpacks to no more than its own size; torch.save compresses nothing."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    is_plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    return is_plain and sum(entry.file_size for entry in entries) <= file.stat().st_size


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        if file.stat().st_size > _MOST_JSON:
            raise ValueError(f"{file.stat().st_size} bytes are no settings")
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise SCEditError(
            f"'{file.name}' beside the tuner is not JSON ({shown(str(error))}); get it again with its tuner"
        ) from error
    return settings if isinstance(settings, dict) else {}


def write_tensors(target: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, the same bytes for the same content; it appears whole or not at all."""
    header, body = _serialized(tensors, metadata)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(header)
            file.write(body)
        part.replace(target)
    except OSError as error:
        raise SCEditError(
            f"'{target.name}' could not be written to {target.parent} ({error.strerror or error}); make room "
            "or choose another place; nothing half written is left"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _serialized(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Header and body of a safetensors file; the library alone writes the metadata in a random order."""
    whole = save(dict(tensors), metadata=dict(metadata))
    body = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:body])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the body is aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text, memoryview(whole)[body:]
