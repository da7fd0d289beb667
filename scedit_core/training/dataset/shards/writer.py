"""Shards written one after the other; whatever happens, the folder holds a whole data set.

A shard is written under another name and takes its own when it is whole, with its index; only then does
`dataset.json` name it. What `dataset.json` does not name does not count and is cleared away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ....errors import SCEditError
from ....files.durable import PART, beside, folders_for, not_written, put_in_place, write_whole
from .index import ENTRY, to_bytes
from .manifest import Head, Manifest, Shard, shard_name, write_manifest
from .packing import Prepared, closing, key_of, pack

# A shard ends at whichever comes first: it is what a crash may cost, and what one removed picture has copied.
MOST_BYTES, MOST_EXAMPLES = 2**28, 4096


def write_dataset(folder: Path, examples: Iterable[Prepared], head: Head) -> None:
    """Write a data set of these examples, in their order, to a folder that holds none.

    Raises SCEditError if it cannot be written, or for an example that does not fit `head`.
    """
    with DatasetWriter(folder, Manifest(head, ())) as writer:
        for example in examples:
            writer.add(example)


class DatasetWriter:
    """Adds examples to the data set that a folder holds, or begins one.

    As a context, it keeps what was added however it is left; only an example that is not whole is lost.
    `check` is called before the set is changed: what it raises ends that.
    """

    def __init__(self, folder: Path, manifest: Manifest, check: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self.manifest = manifest
        self._check = check
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._entries: list[tuple[int, ...]] = []
        self._bytes, self._digest = 0, hashlib.sha256()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self.close_shard()
        elif error is None and not self.manifest.shards:
            write_manifest(self.folder, self.manifest)

    def add(self, example: Prepared) -> None:
        """Write one example; a shard that is full is closed.

        Raises SCEditError if the disk is full or the example is not like the others.
        """
        head = self.manifest.head
        if example.latent.shape[0] != head.latent_channels or len(example.hints) != len(head.hints):
            raise SCEditError(
                f"an example has {example.latent.shape[0]} channels and {len(example.hints)} hints, those of "
                f"this data set {head.latent_channels} and {len(head.hints)}; write it to another one"
            )
        packed = pack(example)
        _, height, width = example.latent.shape
        self.add_packed(packed, key_of(example.name), example.stamp, (height, width))
        if self._bytes >= MOST_BYTES or len(self._entries) >= MOST_EXAMPLES:
            self.close_shard()

    def add_packed(self, packed: bytes, key: int, stamp: int, size: tuple[int, int]) -> None:
        """Write an example that is packed already; `size` is its latent's height and width."""
        if self._file is None:
            self._open()
        self._entries.append((key, stamp, self._bytes, len(packed), zlib.crc32(packed), *size))
        self._write(packed)

    def close_shard(self, instead_of: Shard | None = None) -> None:
        """Have the examples so far on the disk and in `dataset.json`, there in place of another shard."""
        try:
            self._check()
        except SCEditError:
            self.give_up()
            raise
        self._write(closing())
        part, file = self._part, self._file
        if part is None or file is None:
            return
        number = max((shard.number for shard in self.manifest.shards), default=-1) + 1
        index = to_bytes(np.array(self._entries, ENTRY))
        target = self.folder / shard_name(number)
        try:
            file.close()
            put_in_place(part, target)
        except OSError as error:
            self.give_up()
            raise not_written(target, error) from error
        shard = Shard(
            target.name,
            self._bytes,
            self._digest.hexdigest(),
            len(self._entries),
            hashlib.sha256(index).hexdigest(),
            target.stat().st_mtime_ns,
        )
        self._forget()
        write_whole(self.folder / shard.index_name, index)
        others = (one for one in self.manifest.shards if one != instead_of)
        self.manifest = Manifest(self.manifest.head, (*others, shard))
        write_manifest(self.folder, self.manifest)

    def remove(self, shard: Shard) -> None:
        """Have a shard of which nothing is kept no longer in `dataset.json`."""
        self._check()
        self.manifest = Manifest(self.manifest.head, tuple(s for s in self.manifest.shards if s != shard))
        write_manifest(self.folder, self.manifest)

    def _open(self) -> None:
        part = beside(self.folder / "shard", PART)
        try:
            with folders_for(part):
                self._file, self._part = part.open("xb"), part
        except OSError as error:
            raise not_written(part, error) from error

    def _write(self, content: bytes) -> None:
        if self._file is None or self._part is None:
            return
        try:
            self._file.write(content)
        except OSError as error:
            part = self._part
            self.give_up()
            raise not_written(part, error) from error
        self._bytes += len(content)
        self._digest.update(content)

    def give_up(self) -> None:
        """Take away the shard that is not whole yet."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what it still holds does not fit either
                self._file.close()
        if self._part is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._part)
        self._forget()

    def _forget(self) -> None:
        self._file, self._part, self._entries = None, None, []
        self._bytes, self._digest = 0, hashlib.sha256()
