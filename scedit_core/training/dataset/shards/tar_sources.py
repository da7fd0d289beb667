"""Pictures in tar shards that others made, in WebDataset's layout: KEY.jpg, KEY.txt or KEY.json.

Nothing is unpacked: the headers are read, and each picture later from its place. Names in a tar only tell
which files belong together; they are never used as paths.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ....errors import SCEditError, shown
from ..captions import MOST_CAPTION
from ..folder import natural_order
from ..pictures import PICTURE_SUFFIXES, FilePart
from .sources import LeftOut, Source, file_version

CAPTION_KEYS = ("caption", "text", "TEXT", "prompt")  # of a .json, as common tools write them
_HINT = "hint"  # in front of a picture's suffix: KEY.hint.png
_MOST_PICTURE = 300_000_000  # bytes of one picture; 100 million pixels of PNG take about as many
_MOST_JSON = 1_000_000
_MOST_NAME = 65_536  # bytes of a long name or of what PAX tells of a file
_BLOCK = tarfile.BLOCKSIZE
_LONG, _PAX = tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True)
class TarSources:
    """The pictures in all tars of a folder."""

    root: Path

    def walk(self, left_out: LeftOut) -> Iterator[Source]:
        """Pictures in the order of the tars' names, then in the order in which they lie there."""
        for archive in sorted(self.root.glob("*.tar"), key=lambda file: natural_order(file.name)):
            yield from _samples(archive, left_out)


def _samples(archive: Path, left_out: LeftOut) -> Iterator[Source]:
    """The samples of one tar: members that follow each other and share what stands before the first dot."""
    version = file_version(archive)[1:]
    key, parts = "", {}
    for name, part in _parts(archive, left_out):
        folder, _, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        if f"{folder}/{stem}" != key:
            yield from _sample(archive, key, parts, version, left_out)
            key, parts = f"{folder}/{stem}", {}
        parts[ending.lower()] = part
    yield from _sample(archive, key, parts, version, left_out)


def _sample(
    archive: Path, key: str, parts: Mapping[str, FilePart], version: tuple[int, ...], left_out: LeftOut
) -> Iterator[Source]:
    suffixes = [suffix[1:] for suffix in PICTURE_SUFFIXES]
    picture = next((parts[suffix] for suffix in suffixes if suffix in parts), None)
    name = f"{archive.name}/{key.lstrip('/')}"
    if picture is None:
        if parts:
            left_out.add(f"'{shown(name)}' (no picture among {', '.join(map(shown, list(parts)[:4]))})")
        return
    if picture.size > _MOST_PICTURE:
        left_out.add(f"'{shown(name)}' ({picture.size} bytes, at most {_MOST_PICTURE} are read)")
        return
    hint = next((parts[f"{_HINT}.{suffix}"] for suffix in suffixes if f"{_HINT}.{suffix}" in parts), None)
    places = tuple((ending, part.offset, part.size) for ending, part in parts.items())
    yield Source(name, (*version, *places), picture, _caption(parts), hint)


def _caption(parts: Mapping[str, FilePart]) -> FilePart | str | None:
    """A sample's caption: its text file, else what its JSON says."""
    if "txt" in parts:
        return parts["txt"]
    about = parts.get("json")
    if about is None or about.size > _MOST_JSON:
        return None
    try:
        with about.open("rb") as file:
            return caption_in(json.load(file))
    except (ValueError, RecursionError, OSError):
        return None


def caption_in(row: object) -> str | None:
    """The caption among what a JSON tells of a picture."""
    if not isinstance(row, dict):
        return None
    found = (row[key] for key in CAPTION_KEYS if isinstance(row.get(key), str))
    return next((" ".join(text[:MOST_CAPTION].split()) for text in found), None)


def _parts(archive: Path, left_out: LeftOut) -> Iterator[tuple[str, FilePart]]:
    """Name and place of each plain file in a tar; the rest is passed over."""
    try:
        with archive.open("rb") as file:
            end = file.seek(0, 2)
            yield from _walk(archive, file, end, left_out)
    except OSError as error:
        raise SCEditError(
            f"'{shown(archive.name)}' cannot be read ({error.strerror or error}); check its permissions"
        ) from error


def _walk(archive: Path, file: BinaryIO, end: int, left_out: LeftOut) -> Iterator[tuple[str, FilePart]]:
    place, long_name = 0, None
    while place + _BLOCK <= end:
        file.seek(place)
        block = file.read(_BLOCK)
        if not any(block):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            left_out.add(f"what follows in '{archive.name}' ({error})")
            return
        start = place + _BLOCK
        if info.size < 0 or start + info.size > end:
            left_out.add(f"the last file of '{archive.name}' (cut off)")
            return
        place = start + info.size + -info.size % _BLOCK
        if info.type in (_LONG, _PAX) and info.size <= _MOST_NAME:
            long_name = _long_name(info.type, file.read(info.size)) or long_name
            continue
        name, long_name = long_name or info.name, None
        if info.type in _FILES:
            yield name, FilePart(shown(name.rpartition("/")[2]), archive, start, info.size)


def _long_name(kind: bytes, content: bytes) -> str | None:
    """The name that GNU's or PAX's extra header gives the file behind it."""
    if kind == _LONG:
        return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    for record in content.split(b"\n"):
        _, _, told = record.partition(b" ")
        key, _, value = told.partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "surrogateescape")
    return None
