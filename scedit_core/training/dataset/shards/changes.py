"""What a data set on disk loses before anything is added: damaged shards, and examples that are gone."""

from __future__ import annotations

import contextlib
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ....errors import SCEditError, shown
from ....files.durable import write_whole
from .index import ENTRY, damaged, read_index, to_bytes
from .manifest import Manifest, Shard, write_manifest
from .writer import DatasetWriter

_OURS = re.compile(r"shard-\d{6}\.(tar|index\.npy)|shard\.[0-9a-f]{8}\.part")
_PIECE = 2**24  # bytes read at once

Tick = Callable[[], None]


def whole_shards(folder: Path, manifest: Manifest, tick: Tick) -> tuple[Manifest, list[str]]:
    """The set without its damaged shards, which are taken away, and what is wrong with each of those.

    A shard whose time of change is not the one known is read whole. `tick` is called for each shard.
    """
    whole, wrong = [], []
    for shard in manifest.shards:
        tick()
        found = _looked_at(folder, shard)
        if isinstance(found, Shard):
            whole.append(found)
        else:
            wrong.append(f"{shown(shard.name)} ({found})")
    now = Manifest(manifest.head, tuple(whole))
    if now != manifest:
        write_manifest(folder, now)
    clear_away(folder, now)
    return now, wrong


def _looked_at(folder: Path, shard: Shard) -> Shard | str:
    """The shard if it is whole, with its index beside it; else what is wrong with it."""
    file = folder / shard.name
    try:
        found = file.stat()
    except OSError:
        return "missing"
    if found.st_size != shard.bytes:
        return f"it has {found.st_size} bytes, expected {shard.bytes}"
    try:
        if found.st_mtime_ns != shard.time and _digest(file) != shard.sha256:
            return "its content is not what was written"
        index = folder / shard.index_name
        if not index.is_file() or hashlib.sha256(index.read_bytes()).hexdigest() != shard.index:
            write_whole(index, to_bytes(read_index(folder, shard)))
    except (OSError, SCEditError) as error:
        return shown(error, 200)
    return replace(shard, time=found.st_mtime_ns)


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def drop(writer: DatasetWriter, keep: np.ndarray, tick: Tick) -> None:
    """Have only the examples in the set for which `keep` `(N,)` is true, in the order of its shards.

    A shard that loses some is written again without them; the others are not touched.
    """
    first = 0
    for shard in writer.manifest.shards:
        kept = keep[first : first + shard.examples]
        first += shard.examples
        if kept.all():
            continue
        _rewrite(writer, shard, kept, tick)
    clear_away(writer.folder, writer.manifest)


def _rewrite(writer: DatasetWriter, shard: Shard, kept: np.ndarray, tick: Tick) -> None:
    entries = read_index(writer.folder, shard)[kept]
    if not len(entries):
        writer.remove(shard)
        return
    is_done = False
    try:
        with (writer.folder / shard.name).open("rb") as opened:
            for entry in entries:
                tick()
                _copy(writer, shard, opened, entry)
        writer.close_shard(instead_of=shard)
        is_done = True
    finally:
        if not is_done:
            writer.give_up()


def _copy(writer: DatasetWriter, shard: Shard, opened: BinaryIO, entry: np.void) -> None:
    opened.seek(int(entry["offset"]))
    packed = opened.read(int(entry["size"]))
    if zlib.crc32(packed) != entry["crc"]:
        raise damaged(shard, "its content is not what was written")
    size = (int(entry["height"]), int(entry["width"]))
    writer.add_packed(packed, int(entry["key"]), int(entry["stamp"]), size)


def clear_away(folder: Path, manifest: Manifest) -> None:
    """Take away what is named like a part of a set and does not count: of shards replaced, or of a crash."""
    if not folder.is_dir():
        return
    counted = {name for shard in manifest.shards for name in (shard.name, shard.index_name)}
    for file in folder.iterdir():
        if file.name not in counted and _OURS.fullmatch(file.name):
            with contextlib.suppress(OSError):  # one that a reader has open on Windows goes the next time
                file.unlink()


def entries_of(folder: Path, manifest: Manifest) -> np.ndarray:
    """The entries of all shards, in their order."""
    each = [read_index(folder, shard) for shard in manifest.shards]
    return np.concatenate([np.zeros(0, ENTRY), *each])
