"""Tensors and settings of a tuner file or published folder, as they lie on disk."""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import SCEditError

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

# What torch.load raises for a torn file, by where it was torn: OSError where the directory of the zip is cut,
# struct.error and AssertionError in files older than the zip layout.
_TORN_PICKLE = (
    AssertionError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class TensorFile:
    """What a weight file holds; `metadata` is its own (safetensors only), `config` the JSON beside it."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def published_weights(folder: Path) -> Path | None:
    """The weight file of a folder as the authors publish or train them, or None if it is no such folder."""
    deeper = sorted(child for child in folder.iterdir() if child.is_dir())
    candidates = (place / name for place in (folder, *deeper) for name in PUBLISHED_NAMES)
    return next((file for file in candidates if file.is_file() and _is_ours(file.parent)), None)


def _is_ours(folder: Path) -> bool:
    """False for an adapter of another kind that lies beside a tuner, such as the authors' 1_SwiftLoRA."""
    swift_type = _read_json(folder / "adapter_config.json").get("swift_type", "SCETuning")
    return swift_type == "SCETuning"


def read_tensors(path: Path) -> TensorFile:
    """Read a weight file, or the one in a published folder, without running any code that it may hold."""
    file = path
    if path.is_dir():
        found = published_weights(path)
        if found is None:
            raise SCEditError(
                f"'{path.name}' is a folder without tuner weights; expected {' or '.join(PUBLISHED_NAMES)} "
                "in it or in a folder inside it, such as 0_SwiftSCETuning; copy the whole published folder"
            )
        file = found
    if not file.is_file():
        raise SCEditError(f"'{path.name}' is no file or folder; choose a tuner file that exists")
    is_safetensors = file.suffix.lower() == ".safetensors"
    tensors, metadata = _read_safetensors(file) if is_safetensors else (_read_pickle(file), {})
    return TensorFile(file, tensors, metadata, _read_json(file.parent / "configuration.json"))


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise SCEditError(
            f"'{file.name}' is no whole safetensors file ({error}); it may be truncated, get it again"
        ) from error


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except _Refused as error:
        raise SCEditError(
            f"'{file.name}' was refused: it is truncated or holds more than tensors, which could run code; "
            "get it from its author again, if possible as safetensors"
        ) from error
    except _TORN_PICKLE as error:
        raise SCEditError(
            f"'{file.name}' is no whole PyTorch weight file ({type(error).__name__}); it may be truncated, "
            "get it again"
        ) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise SCEditError(f"'{file.name}' holds no plain dictionary of tensors; it is not an SCEdit tuner")
    return loaded


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SCEditError(
            f"'{file.name}' beside the tuner is not JSON ({error}); get it again with its tuner"
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
