"""A data set that is read at random, from any number of threads."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....errors import SCEditError, shown
from .index import damaged, read_all
from .manifest import Manifest, read_manifest
from .packing import StoredExample, unpack


@dataclass(frozen=True, eq=False)
class StoredDataset:
    """Examples on disk. In memory are 36 bytes of each; no file is kept open.

    `shapes` `(N, 2)` are the heights and widths of the latents.
    """

    folder: Path
    manifest: Manifest
    shapes: np.ndarray
    _entries: np.ndarray
    _starts: np.ndarray

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def hints(self) -> tuple[str, ...]:
        """Kinds of hints, in order."""
        return self.manifest.head.hints

    @property
    def resolution(self) -> int:
        """Size of the pictures in pixels, as the side of a square."""
        return self.manifest.head.resolution

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.manifest.head.latent_channels

    @property
    def vae(self) -> str:
        """What tells the VAE that encoded the pictures from others."""
        return self.manifest.head.vae

    def fingerprint(self) -> str:
        """Changes with the examples, their order or what they share; no shard is read for it."""
        return self.manifest.fingerprint()

    def read(self, number: int) -> StoredExample:
        """Example number 0, 1, ... Raises SCEditError naming the shard if it is damaged or gone."""
        if not 0 <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        shard = self.manifest.shards[int(np.searchsorted(self._starts, number, "right")) - 1]
        packed = self._packed(number, self.folder / shard.name)
        entry = self._entries[number]
        if len(packed) != entry["size"] or zlib.crc32(packed) != entry["crc"]:
            raise damaged(shard, "its content is not what was written")
        try:
            example = unpack(memoryview(packed), len(self.hints))
        except ValueError as error:
            raise damaged(shard, error) from error
        if example.latent.shape != (self.latent_channels, entry["height"], entry["width"]):
            raise damaged(shard, f"a latent of shape {tuple(example.latent.shape)}")
        return example

    def packed(self, number: int) -> bytes:
        """An example as it lies in its shard, unchecked."""
        shard = self.manifest.shards[int(np.searchsorted(self._starts, number, "right")) - 1]
        return self._packed(number, self.folder / shard.name)

    def _packed(self, number: int, file: Path) -> bytes:
        entry = self._entries[number]
        try:
            with file.open("rb", buffering=0) as opened:
                opened.seek(int(entry["offset"]))
                return opened.read(int(entry["size"]))
        except OSError as error:
            raise SCEditError(
                f"'{shown(file.name)}' of the data set '{shown(self.folder.name)}' cannot be read "
                f"({error.strerror or error}); if 'Prepare Dataset' changed the set meanwhile, start again"
            ) from error


def open_dataset(folder: Path) -> StoredDataset:
    """The data set in a folder. Raises SCEditError for anything else, and for a missing or cut off shard."""
    manifest = read_manifest(folder)
    entries, starts = read_all(folder, manifest)
    shapes = np.stack([entries["height"], entries["width"]], axis=1).astype(np.int64)
    return StoredDataset(folder, manifest, shapes, entries, starts)
