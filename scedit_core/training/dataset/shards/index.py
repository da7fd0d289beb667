"""Where each example lies in its shard: 36 bytes an example, in memory and on disk."""

from __future__ import annotations

import hashlib
import io
import zlib
from pathlib import Path

import numpy as np

from ....errors import SCEditError, shown
from .manifest import Manifest, Shard
from .packing import about_of, latent_shape, members

# key and stamp of the source, place in the shard and CRC-32 of what lies there, and the latent's size
ENTRY = np.dtype(
    [
        ("key", "<u8"),
        ("stamp", "<u8"),
        ("offset", "<u8"),
        ("size", "<u4"),
        ("crc", "<u4"),
        ("height", "<u2"),
        ("width", "<u2"),
    ]
)


def to_bytes(entries: np.ndarray) -> bytes:
    """The content of an index file."""
    buffer = io.BytesIO()
    np.save(buffer, entries, allow_pickle=False)
    return buffer.getvalue()


def damaged(shard: Shard, reason: object) -> SCEditError:
    """The sentence for a shard that is not what it was when it was written."""
    return SCEditError(
        f"'{shown(shard.name)}' of the data set is damaged ({shown(reason)}); delete that file and run "
        "'Prepare Dataset' again, which makes its examples anew and leaves the others"
    )


def read_index(folder: Path, shard: Shard) -> np.ndarray:
    """The entries of a shard, from its index or, where that is gone, from the shard itself.

    Raises SCEditError if the shard is missing, has another size, or does not hold what it should.
    """
    file = folder / shard.name
    try:
        size = file.stat().st_size
    except OSError as error:
        raise SCEditError(
            f"'{shown(shard.name)}' of the data set '{shown(folder.name)}' is missing; copy it again, or run "
            "'Prepare Dataset' again, which makes its examples anew"
        ) from error
    if size != shard.bytes:
        raise damaged(shard, f"it has {size} bytes, expected {shard.bytes}")
    entries = _stored(folder / shard.index_name, shard)
    return _found(file, shard) if entries is None else entries


def _stored(file: Path, shard: Shard) -> np.ndarray | None:
    """The entries that the index file holds, if it is the one that was written."""
    try:
        if file.stat().st_size > ENTRY.itemsize * shard.examples + 1_000:
            return None
        content = file.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != shard.index or content[:8] != b"\x93NUMPY\x01\0":
        return None
    start = 10 + int.from_bytes(
        content[8:10], "little"
    )  # .npy: a header of that many bytes behind the first 10
    if len(content) - start != ENTRY.itemsize * shard.examples:
        return None
    entries = np.frombuffer(content, ENTRY, offset=start)
    ends = entries["offset"] + entries["size"]
    return entries if bool((ends <= shard.bytes).all()) else None


def _found(file: Path, shard: Shard) -> np.ndarray:
    """The entries of a shard as its own members tell them, read once."""
    packed = np.memmap(file, np.uint8, mode="r").data if shard.bytes else memoryview(b"")
    try:
        entries = [_entry(packed, start, end) for start, end in _parts(packed)]
    except ValueError as error:
        raise damaged(shard, error) from error
    if len(entries) != shard.examples:
        raise damaged(shard, f"it holds {len(entries)} examples, expected {shard.examples}")
    return np.array(entries, ENTRY)


def _parts(packed: memoryview) -> list[tuple[int, int]]:
    """Start and end of each example in a tar: its members follow each other and share a key."""
    parts: list[tuple[int, int]] = []
    last, place = None, 0
    for key, _, content in members(packed):
        end = place + 512 + len(content) + -len(content) % 512
        if key != last:
            parts.append((place, end))
        else:
            parts[-1] = (parts[-1][0], end)
        last, place = key, end
    return parts


def _entry(packed: memoryview, start: int, end: int) -> tuple[int, ...]:
    part = packed[start:end]
    found = {ending: (key, content) for key, ending, content in members(part)}
    try:
        contents = {ending: content for ending, (_, content) in found.items()}
        key, _ = found["json"]
        stamp = int(str(about_of(contents)["stamp"]), 16)
        _, height, width = latent_shape(contents)
        return int(key, 16), stamp, start, end - start, zlib.crc32(part), height, width
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from error


def read_all(folder: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """All entries, and the number of the first example of each shard, with the total behind them."""
    each = [read_index(folder, shard) for shard in manifest.shards]
    starts = np.cumsum([0, *(len(entries) for entries in each)])
    return np.concatenate([np.zeros(0, ENTRY), *each]), starts
