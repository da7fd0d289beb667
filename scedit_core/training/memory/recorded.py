"""Counts the bytes that a forward keeps for backward: exact, on any device and on tensors without data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


class Recorder(TorchDispatchMode):
    """Bytes kept for backward, without weights, each storage once, by the part of the network that has them.

    Hooks see what autograd saves; what `recomputed` keeps is what outlives the forward. `where()`
    names the part that runs.
    """

    def __init__(self, weights: Iterable[Tensor], where: Callable[[], str] = lambda: "all") -> None:
        super().__init__()
        self._where = where
        self._weights = {_storage(tensor) for tensor in weights}
        self._saved: dict[int, tuple[torch.UntypedStorage, str]] = {}
        self._made: dict[int, tuple[StorageWeakRef, int, str]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Count what a forward in this context keeps."""
        with self, torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor):
            yield

    def saved(self) -> Counter[str]:
        """Bytes that autograd saved, by part."""
        return _summed((storage.nbytes(), part) for storage, part in self._saved.values())

    def kept(self, result: Tensor) -> Counter[str]:
        """Bytes that are kept after the forward, autograd's and others', by part, without its `result`."""
        others = (
            (size, part)
            for key, (storage, size, part) in self._made.items()
            if key not in self._saved and not storage.expired() and key != _storage(result)
        )
        return self.saved() + _summed(others)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._weights:  # weights are seen through views too, such as .t()
            self._saved.setdefault(storage._cdata, (storage, self._where()))
        # detached: what an operation saves of its own result would keep itself alive without a backward
        return tensor.detach()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(arg) for arg in args if isinstance(arg, Tensor)}
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            # a view of an input takes no memory
            if isinstance(tensor, Tensor) and _storage(tensor) not in given:
                storage = tensor.untyped_storage()
                self._made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes(), self._where())
        return result


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _summed(sizes: Iterable[tuple[int, str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for size, part in sizes:
        total[part] += size
    return total
