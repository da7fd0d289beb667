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
    """Bytes kept for backward, each storage once, weights left out, by the part that had them kept.

    What autograd saves is seen by its hooks; what `recomputed` keeps beside it, by outliving the forward.
    `where()` names the part of the network that runs.
    """

    def __init__(self, weights: Iterable[Tensor], where: Callable[[], str] = lambda: "all") -> None:
        super().__init__()
        self._where = where
        self._weights = {_storage(tensor) for tensor in weights}
        self._saved: dict[int, tuple[torch.UntypedStorage, str]] = {}
        self._made: dict[int, tuple[StorageWeakRef, int, str]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Count what is kept of a forward inside."""
        with self, torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor):
            yield

    def saved(self) -> Counter[str]:
        """Bytes by part that autograd's hooks saw."""
        return _summed((storage.nbytes(), part) for storage, part in self._saved.values())

    def kept(self, result: Tensor) -> Counter[str]:
        """Bytes by part that are there after the forward, autograd's and others', but for its `result`."""
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
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(arg) for arg in args if isinstance(arg, Tensor)}
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            # a view of what was there is nothing new
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
