"""`dataset.json`: what the examples of a data set share, and the shards that they lie in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ....errors import SCEditError, shown
from ....files.durable import write_whole
from ..buckets import STEP

NAME, VERSION = "dataset.json", 1
MOST_HINTS = 8  # kinds in one set
_MOST_JSON = 64_000_000  # bytes; a shard takes 250, and has some thousand examples
_SHARD = re.compile(r"shard-\d{6}\.tar")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REMEDY = "make the data set again with 'Prepare Dataset'"


@dataclass(frozen=True)
class Head:
    """What all examples share: `resolution` in pixels, as the side of a square, and the kinds of hints.

    `vae` tells one VAE from another; pictures are encoded by it to `latent_channels` channels.
    """

    resolution: int
    buckets: bool
    hints: tuple[str, ...]
    vae: str
    latent_channels: int

    def __post_init__(self) -> None:
        if self.resolution < STEP or self.resolution % STEP:
            raise SCEditError(f"resolution is a multiple of {STEP} pixels, got {self.resolution}; use 512")
        if len(self.hints) > MOST_HINTS:
            raise SCEditError(f"a data set has at most {MOST_HINTS} kinds of hints, got {len(self.hints)}")
        if self.latent_channels < 1:
            raise SCEditError(f"a latent has at least one channel, got {self.latent_channels}; use a VAE")


@dataclass(frozen=True)
class Shard:
    """One tar: its size, SHA-256 and number of examples, and the SHA-256 of its index.

    `time` is when it was last known to be whole: its own time of change, in ns.
    """

    name: str
    bytes: int
    sha256: str
    examples: int
    index: str
    time: int

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.name[6:12])

    @property
    def index_name(self) -> str:
        """The name of its index."""
        return f"{self.name.removesuffix('.tar')}.index.npy"


@dataclass(frozen=True)
class Manifest:
    """A data set as `dataset.json` has it."""

    head: Head
    shards: tuple[Shard, ...]

    def fingerprint(self) -> str:
        """Changes with everything that a training may see of the set; nothing but this is read."""
        told = json.dumps(asdict(self.head), sort_keys=True)
        return hashlib.sha256("\n".join([told, *(s.sha256 for s in self.shards)]).encode()).hexdigest()


def shard_name(number: int) -> str:
    """The name of the shard with this number."""
    return f"shard-{number:06d}.tar"


def is_set(folder: Path) -> bool:
    """Whether a folder holds a data set, whole or not."""
    return (folder / NAME).is_file()


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a data set all of whose shards are there, by their sizes."""
    try:
        return all((folder / s.name).stat().st_size == s.bytes for s in read_manifest(folder).shards)
    except (OSError, SCEditError):
        return False


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put `dataset.json` in place of the one before. Raises SCEditError if that fails."""
    told = {"version": VERSION, **asdict(manifest.head), "shards": [asdict(s) for s in manifest.shards]}
    write_whole(folder / NAME, json.dumps(told, indent=1).encode())


def read_manifest(folder: Path) -> Manifest:
    """What a folder's `dataset.json` says. Raises SCEditError if there is none or it says something else."""
    told = _read(folder)
    if told.get("version") != VERSION:
        raise SCEditError(
            f"the data set '{shown(folder.name)}' has version {shown(told.get('version'))}, this pack reads "
            f"version {VERSION}; update the pack, or {_REMEDY}"
        )
    try:
        head = _filled(Head, {**told, "hints": _hints(told)})
        shards = tuple(_shard(row) for row in _list(told["shards"]))
    except (KeyError, TypeError) as error:
        raise SCEditError(
            f"'{NAME}' of '{shown(folder.name)}' is damaged (at {shown(error)}); {_REMEDY}"
        ) from error
    return Manifest(head, shards)


def _read(folder: Path) -> Mapping[str, Any]:
    file = folder / NAME
    if not file.is_file():
        raise SCEditError(
            f"'{shown(folder.name)}' holds no data set: there is no {NAME} in it; make one with 'Prepare "
            "Dataset', or choose another folder"
        )
    try:
        if file.stat().st_size > _MOST_JSON:
            raise ValueError(f"{file.stat().st_size} bytes are too many")
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise SCEditError(
            f"'{NAME}' of '{shown(folder.name)}' cannot be read ({shown(error)}); {_REMEDY}"
        ) from error
    return told if isinstance(told, dict) else {}


def _shard(row: Any) -> Shard:
    """A row of `shards`. TypeError for values that no shard has: a name may lead elsewhere."""
    shard = _filled(Shard, row)
    digests = (shard.sha256, shard.index)
    if not _SHARD.fullmatch(shard.name) or not all(map(_DIGEST.fullmatch, digests)) or shard.bytes < 0:
        raise TypeError(f"shard {shown(shard.name)}")
    return shard


def _filled(kind: type[Any], row: Any) -> Any:
    """A dataclass of plain fields, each of which has the type that it should have."""
    values = {field.name: row[field.name] for field in fields(kind)}
    for field in fields(kind):
        if type(values[field.name]).__name__ != str(field.type).partition("[")[0]:
            raise TypeError(field.name)
    return kind(**values)


def _hints(told: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(_list(told["hints"]))
    if not all(isinstance(name, str) for name in names):
        raise TypeError("hints")
    return names


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list")
    return value
