"""Which kind of tuner a file is, told by its header alone, so that long lists of files can be sorted."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from ..errors import SCEditError
from ..spec import Kind
from .disk import published_weights, read_tensors
from .layouts import detect_format

_MOST_HEADER = 8_000_000  # bytes; that of a whole checkpoint has less than a tenth of it


def weight_file(path: Path) -> Path | None:
    """The file that decides what a tuner is: itself, or the weights in a published folder; None without."""
    if not path.is_dir():
        return path
    try:
        return next(iter(published_weights(path)), None)
    except SCEditError:
        return None


def tuner_kind(path: Path) -> Kind | None:
    """Kind of a weight file, by its metadata or keys; None if they do not tell. No weights are read."""
    try:
        keys, stated = _header(path)
        return stated or detect_format(_one_of_each(keys)).format.kind
    except (SCEditError, OSError, ValueError):
        return None


def _header(path: Path) -> tuple[Collection[str], Kind | None]:
    if path.suffix.lower() != ".safetensors":
        return _mapped_keys(path), None
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size)) if size <= _MOST_HEADER else {}
    if not isinstance(header, dict):
        return (), None
    metadata = header.pop("__metadata__", None)
    stated = metadata.get("scedit.kind") if isinstance(metadata, dict) else None
    return header.keys(), stated if stated in ("sc", "csc") else None


def _mapped_keys(path: Path) -> Collection[str]:
    """Keys of a PyTorch archive, whose weights stay in the file; those of older layouts, read whole, not."""
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    return read_tensors(path).tensors.keys() if is_archive else ()


def _one_of_each(keys: Collection[str]) -> Collection[str]:
    """One key for each pattern: a layout is known by them, and a file has some ten of each."""
    return {re.sub(r"\d+", "0", key): key for key in keys}.values()
