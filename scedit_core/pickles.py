"""The pickle in a PyTorch weight file, read opcode by opcode: nothing that it names is called or imported.

What the state dict of plain tensors needs is understood here, and is handed on as descriptions of tensors.
Everything else is refused with its name, before a number of the file is read. Real pickles are larger than
they have to be for this: torch.save also writes whether a tensor wants gradients, and which versions the
modules had that it was part of; that is read over.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from .errors import shown
from .limits import MOST_DEPTH, MOST_OPCODES, MOST_SIZES, MOST_STACK


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
class _Global:
    name: str


class _Tuple(tuple[Any, ...]):
    depth = 1


class _List(list[Any]):
    depth = 1
    is_inside = False


class _Dict(dict[str, Any]):
    depth = 1
    is_inside = False
    is_ordered = False


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
_ORDERED = "collections.OrderedDict"
_REBUILD = {f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3", "parameter")}
_KNOWN = {_ORDERED, _BYTES, *_REBUILD, *_STORAGE_TYPES, *_DTYPES}


def read_pickle(stream: BinaryIO) -> Any:
    """The value of one pickle, in which StoredTensor stands for a tensor; `stream` is left behind its end.

    Raises RefusedPickle and TornPickle. Time and memory are bounded by MOST_OPCODES and the stream's size.
    """
    walk, name, number = _Walk(), "", 0
    try:
        while name != "STOP":
            number += 1
            if number > MOST_OPCODES:
                raise RefusedPickle(f"more than {MOST_OPCODES} operations")
            name = _next(stream, walk)
        return walk.stack.pop()
    except (ValueError, IndexError, KeyError) as error:
        raise TornPickle(str(error)) from error


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}


def _next(stream: BinaryIO, walk: _Walk) -> str:
    """Carry out the next operation; its argument is looked at only if the operation is one that is known."""
    code = stream.read(1).decode("latin-1")
    opcode = _OPCODES.get(code)
    if opcode is None:
        raise TornPickle("it ends" if not code else f"{code!r} is no pickle operation")
    if opcode.name not in _ACTIONS:
        raise RefusedPickle(f"the pickle operation {opcode.name}")
    _ACTIONS[opcode.name](walk, opcode.arg.reader(stream) if opcode.arg else None)
    if len(walk.stack) > MOST_STACK:
        raise RefusedPickle(f"a stack of more than {MOST_STACK} values")
    return opcode.name


class _Walk:
    """The state of a pickle machine that builds nothing but text, numbers and containers of them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))
        if len(self.marks) > MOST_DEPTH:
            raise RefusedPickle(f"containers nested more than {MOST_DEPTH} deep")

    def put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def name(self, argument: str) -> None:
        full = argument.replace(" ", ".", 1)
        if full not in _KNOWN:
            raise RefusedPickle(f"'{shown(full)}'")
        self.stack.append(_Global(full))

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def make_tuple(self, values: list[Any]) -> None:
        made = _Tuple(values)
        made.depth = 1 + max(map(_enclosed, values), default=0)
        self.stack.append(made)

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _List):
            raise RefusedPickle(f"items of {_kind(target)}")
        _deepen(target, values)
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _Dict):
            raise RefusedPickle(f"items of {_kind(target)}")
        _fill(target, values)

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, _Tuple):
            raise RefusedPickle(f"a call of {_kind(function)}")
        if function.name == _ORDERED:
            self.stack.append(_ordered(arguments))
        elif function.name in _REBUILD:
            self.stack.append(_rebuilt(function.name, arguments))
        else:
            raise RefusedPickle(f"a call of '{function.name}'")

    def load_storage(self, _: Any) -> None:
        self.stack.append(_storage(self.stack.pop()))

    def build(self, _: Any) -> None:
        """Attributes of a value: the versions of its modules that a state dict has; all else is refused."""
        state, target = self.stack.pop(), self.stack[-1]
        is_versions = isinstance(state, _Dict) and state.keys() <= {"_metadata"}
        if not (is_versions and isinstance(target, _Dict) and target.is_ordered):
            names = ", ".join(map(shown, state)) if isinstance(state, _Dict) else "a state"
            raise RefusedPickle(f"attributes of {_kind(target)} ({names[:100]})")


_ACTIONS: Mapping[str, Callable[[_Walk, Any], None]] = {
    **dict.fromkeys(("BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"), _Walk.push),
    "EMPTY_DICT": lambda walk, _: walk.push(_Dict()),
    "EMPTY_LIST": lambda walk, _: walk.push(_List()),
    "EMPTY_TUPLE": lambda walk, _: walk.push(_Tuple()),
    "NEWFALSE": lambda walk, _: walk.push(False),
    "NEWTRUE": lambda walk, _: walk.push(True),
    "NONE": lambda walk, _: walk.push(None),
    "SHORT_BINSTRING": _Walk.push,
    "APPEND": lambda walk, _: walk.append([walk.stack.pop()]),
    "APPENDS": lambda walk, _: walk.append(walk.since_mark()),
    "BINGET": _Walk.get,
    "BINPERSID": _Walk.load_storage,
    "BINPUT": _Walk.put,
    "BUILD": _Walk.build,
    "GLOBAL": _Walk.name,
    "LONG_BINGET": _Walk.get,
    "LONG_BINPUT": _Walk.put,
    "MARK": _Walk.mark,
    "PROTO": lambda walk, _: None,
    "REDUCE": _Walk.reduce,
    "SETITEM": lambda walk, _: walk.set_items([walk.stack.pop(-2), walk.stack.pop()]),
    "SETITEMS": lambda walk, _: walk.set_items(walk.since_mark()),
    "STOP": lambda walk, _: None,
    "TUPLE": lambda walk, _: walk.make_tuple(walk.since_mark()),
    "TUPLE1": lambda walk, _: walk.make_tuple([walk.stack.pop()]),
    "TUPLE2": lambda walk, _: walk.make_tuple([walk.stack.pop(-2), walk.stack.pop()]),
    "TUPLE3": lambda walk, _: walk.make_tuple([walk.stack.pop(-3), walk.stack.pop(-2), walk.stack.pop()]),
}


def _enclosed(value: Any) -> int:
    """How deep a value is that goes into a container; from then on it may not change."""
    if not isinstance(value, (_Tuple, _List, _Dict)):
        return 0
    if value.depth >= MOST_DEPTH:
        raise RefusedPickle(f"containers nested more than {MOST_DEPTH} deep")
    if not isinstance(value, _Tuple):
        value.is_inside = True
    return value.depth


def _deepen(target: _List | _Dict, values: list[Any]) -> None:
    target.depth = max([target.depth, *(1 + _enclosed(value) for value in values)])
    if target.is_inside:
        raise RefusedPickle("a container that changes inside another, or in itself")


def _fill(target: _Dict, values: list[Any]) -> None:
    """Set pairs, given flat. Their keys are text."""
    keys, contents = values[::2], values[1::2]
    for key in keys:
        if type(key) is not str:
            raise RefusedPickle("a key that is no text")
    _deepen(target, contents)
    target.update(zip(keys, contents, strict=True))


def _ordered(arguments: _Tuple) -> _Dict:
    """An OrderedDict: empty, or made of pairs as Python 2 wrote it."""
    made = _Dict()
    made.is_ordered = True
    pairs = arguments[0] if arguments else _List()
    if len(arguments) > 1 or not isinstance(pairs, _List):
        raise RefusedPickle("an OrderedDict of no pairs")
    for pair in pairs:
        if not isinstance(pair, (_List, _Tuple)) or len(pair) != 2:
            raise RefusedPickle("an OrderedDict of no pairs")
        _fill(made, list(pair))
    return made


def _storage(identity: Any) -> Storage:
    """What a persistent id names. Older files have a sixth part, for views of storages, which none has."""
    parts = list(identity) if isinstance(identity, _Tuple) else []
    if len(parts) == 6 and parts[5] is None:
        parts.pop()
    kinds = [type(part) for part in parts]
    if kinds != [str, _Global, str, str, int] or parts[0] != "storage" or parts[4] < 0:
        raise RefusedPickle("a reference to something that is no storage")
    name = parts[1].name
    if name not in _STORAGE_TYPES and name != _BYTES:
        raise RefusedPickle(f"a storage of '{name}'")
    return Storage(parts[2], _STORAGE_TYPES.get(name), parts[4])


def _rebuilt(function: str, arguments: _Tuple) -> StoredTensor:
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
        dtype = _DTYPES.get(named.name) if isinstance(named, _Global) else None
    if any(hooks):
        raise RefusedPickle("a tensor with hooks")
    if any(extras):
        raise RefusedPickle("a tensor with its negative or conjugate bit set")
    return _checked(StoredTensor(storage, dtype or torch.uint8, *sizes))


def _checked(tensor: StoredTensor) -> StoredTensor:
    """The tensor, if its sizes are sizes and all of its numbers lie in its storage."""
    shape, stride = tensor.shape, tensor.stride
    is_sized = isinstance(shape, _Tuple) and isinstance(stride, _Tuple) and len(shape) == len(stride)
    if not is_sized or len(shape) > MOST_SIZES:
        raise RefusedPickle(f"a tensor without sizes, or with more than {MOST_SIZES}")
    if any(type(number) is not int or number < 0 for number in (tensor.offset, *shape, *stride)):
        raise RefusedPickle("a tensor of sizes that are no numbers above 0")
    last = tensor.offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if 0 not in shape and (last + 1) * tensor.dtype.itemsize > tensor.storage.nbytes:
        raise TornPickle("a tensor reaches beyond its numbers")
    return StoredTensor(tensor.storage, tensor.dtype, tensor.offset, tuple(shape), tuple(stride))


def _kind(value: Any) -> str:
    """What a value is called in a sentence."""
    names = {_Dict: "a dictionary", _List: "a list", _Tuple: "a tuple", StoredTensor: "a tensor"}
    if isinstance(value, _Global):
        return f"'{value.name}'"
    return names.get(type(value), f"a {type(value).__name__}")
