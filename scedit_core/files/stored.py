"""Tensors as the pickle of a PyTorch file describes them: what it may call, and what that comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from .limits import MOST_SIZES


class RefusedPickle(Exception):
    """A pickle holds something that no plain state dict does; the text is its name, for a sentence."""


class TornPickle(Exception):
    """A pickle ends too early or does not hang together."""


@dataclass(frozen=True)
class Storage:
    """Numbers of the file under one key: `count` of `dtype`, or bytes where that is None."""

    key: str
    dtype: torch.dtype | None
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in the file."""
        return self.count * (self.dtype.itemsize if self.dtype else 1)


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage; `offset` and `stride` count numbers."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that it would take by itself; sizes of 0 count as 1, so that none is absurd."""
        return math.prod(max(size, 1) for size in self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Global:
    """A name that a pickle gives, of a function or a class."""

    name: str


_STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_STORAGE_TYPES = {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}
_BYTES = "torch.storage.UntypedStorage"
# what torch.save writes beside the tensor when it has no storage of its own name
_DTYPES = {
    str(dtype): dtype
    for dtype in (
        *_STORAGES.values(),
        *(getattr(torch, name) for name in ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "uint16")
          if hasattr(torch, name)),
    )
}  # fmt: skip
ORDERED = "collections.OrderedDict"
REBUILD = {f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3", "parameter")}
KNOWN = {ORDERED, _BYTES, *REBUILD, *_STORAGE_TYPES, *_DTYPES}


def storage_of(identity: Any) -> Storage:
    """What a persistent id names. Older files have a sixth part, for views of storages, which none has."""
    parts = list(identity) if isinstance(identity, tuple) else []
    if len(parts) == 6 and parts[5] is None:
        parts.pop()
    kinds = [type(part) for part in parts]
    if kinds != [str, Global, str, str, int] or parts[0] != "storage" or parts[4] < 0:
        raise RefusedPickle("a reference to something that is no storage")
    name = parts[1].name
    if name not in _STORAGE_TYPES and name != _BYTES:
        raise RefusedPickle(f"a storage of '{name}'")
    return Storage(parts[2], _STORAGE_TYPES.get(name), parts[4])


def rebuilt(function: str, arguments: tuple[Any, ...]) -> StoredTensor:
    """What a call of one of torch's rebuilding functions comes to."""
    name = function.rpartition("_rebuild_")[2]
    if name == "parameter":
        tensor, hooks = arguments[0], arguments[2:]
        if not isinstance(tensor, StoredTensor) or len(hooks) != 1 or hooks[0]:
            raise RefusedPickle("a parameter of no plain tensor")
        return tensor
    storage, *sizes = arguments[:4]
    rest = list(arguments[4:])
    if not isinstance(storage, Storage) or len(sizes) != 3 or (name != "tensor" and len(rest) < 2):
        raise RefusedPickle("a tensor without storage")
    hooks, dtype = rest[1:2], storage.dtype
    extras = rest[2:]
    if name == "tensor_v3" and extras:
        named = extras.pop(0)
        dtype = _DTYPES.get(named.name) if isinstance(named, Global) else None
    if any(hooks):
        raise RefusedPickle("a tensor with hooks")
    if any(extras):
        raise RefusedPickle("a tensor with its negative or conjugate bit set")
    return _checked(StoredTensor(storage, dtype or torch.uint8, *sizes))


def _checked(tensor: StoredTensor) -> StoredTensor:
    """The tensor, if its sizes are sizes and all of its numbers lie in its storage."""
    shape, stride = tensor.shape, tensor.stride
    is_sized = isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride)
    if not is_sized or len(shape) > MOST_SIZES:
        raise RefusedPickle(f"a tensor without sizes, or with more than {MOST_SIZES}")
    if any(type(number) is not int or number < 0 for number in (tensor.offset, *shape, *stride)):
        raise RefusedPickle("a tensor of sizes that are no numbers above 0")
    last = tensor.offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if 0 not in shape and (last + 1) * tensor.dtype.itemsize > tensor.storage.nbytes:
        raise TornPickle("a tensor reaches beyond its numbers")
    return StoredTensor(tensor.storage, tensor.dtype, tensor.offset, tuple(shape), tuple(stride))
