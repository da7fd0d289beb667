"""The order in which a run sees its examples: a function of seed and step, and quick for very many."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, *place: object) -> torch.Generator:
    """Random numbers that depend on the seed and the place in the run alone, so that a run can be resumed."""
    digest = hashlib.sha256("/".join(map(str, (seed, *place))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Order:
    """Every example once per epoch in a new order, in batches of one latent size each.

    `sizes` is `(N, 2)`: height and width of each latent. Threads may share it.
    """

    def __init__(self, sizes: np.ndarray) -> None:
        keys = sizes[:, 0].astype(np.int64) << 32 | sizes[:, 1].astype(np.int64)
        found, first, bucket = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)  # buckets in the order in which the examples bring them
        self.sizes = tuple((int(key >> 32), int(key & 0xFFFFFFFF)) for key in found[order])
        self._buckets = tuple(torch.from_numpy(np.flatnonzero(bucket == number)) for number in order)
        # the epoch of the run and, while batches are read ahead, the next one
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def batches_per_epoch(self, size: int) -> int:
        """Number of batches of at most `size` examples in which all are seen once."""
        return sum(-(-len(bucket) // size) for bucket in self._buckets)

    def batch(self, number: int, size: int, seed: int) -> list[int]:
        """Examples of batch 0, 1, ... of a run; the last one of a bucket may be smaller than `size`."""
        epoch, place = divmod(number, self.batches_per_epoch(size))
        examples, cuts = self._epoch(epoch, size, seed)
        first, last = cuts[place].tolist()
        return examples[first:last].tolist()

    def _shuffled(self, epoch: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
        """All examples `(N,)` in the buckets' order, and first and last of each batch `(batches, 2)`."""
        draw = generator(seed, "epoch", epoch)
        examples = [bucket[torch.randperm(len(bucket), generator=draw)] for bucket in self._buckets]
        cuts, begin = [], 0
        for bucket in self._buckets:
            end = begin + len(bucket)
            starts = torch.arange(begin, end, size)
            cuts.append(torch.stack([starts, (starts + size).clamp(max=end)], dim=1))
            begin = end
        batches = torch.cat(cuts)
        return torch.cat(examples), batches[torch.randperm(len(batches), generator=draw)]
