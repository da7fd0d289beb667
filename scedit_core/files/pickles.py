"""The pickle in a PyTorch weight file, read opcode by opcode: nothing that it names is called or imported.

What the state dict of plain tensors needs is understood here, and is handed on as descriptions of tensors.
Everything else is refused with its name, before a number of the file is read. Real pickles are larger than
they have to be for this: torch.save also writes whether a tensor wants gradients, and which versions the
modules had that it was part of; that is read over.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ..errors import shown
from .limits import MOST_DEPTH, MOST_OPCODES, MOST_STACK
from .stored import (
    KNOWN,
    ORDERED,
    REBUILD,
    Global,
    RefusedPickle,
    StoredTensor,
    TornPickle,
    rebuilt,
    storage_of,
)


class _Tuple(tuple[Any, ...]):
    depth = 1


class _List(list[Any]):
    depth = 1
    is_inside = False


class _Dict(dict[str, Any]):
    depth = 1
    is_inside = False
    is_ordered = False


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

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))
        if len(self.marks) > MOST_DEPTH:
            raise RefusedPickle(f"containers nested more than {MOST_DEPTH} deep")

    def _put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def _get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def _name(self, argument: str) -> None:
        full = argument.replace(" ", ".", 1)
        if full not in KNOWN:
            raise RefusedPickle(f"'{shown(full)}'")
        self.stack.append(Global(full))

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _make_tuple(self, values: list[Any]) -> None:
        made = _Tuple(values)
        made.depth = 1 + max(map(_enclosed, values), default=0)
        self.stack.append(made)

    def _append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _List):
            raise RefusedPickle(f"items of {_kind(target)}")
        _deepen(target, values)
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _Dict):
            raise RefusedPickle(f"items of {_kind(target)}")
        _fill(target, values)

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or not isinstance(arguments, _Tuple):
            raise RefusedPickle(f"a call of {_kind(function)}")
        if function.name == ORDERED:
            self.stack.append(_ordered(arguments))
        elif function.name in REBUILD:
            self.stack.append(rebuilt(function.name, arguments))
        else:
            raise RefusedPickle(f"a call of '{function.name}'")

    def _load_storage(self, _: Any) -> None:
        self.stack.append(storage_of(self.stack.pop()))

    def _build(self, _: Any) -> None:
        """Attributes of a value: the versions of its modules that a state dict has; all else is refused."""
        state, target = self.stack.pop(), self.stack[-1]
        is_versions = isinstance(state, _Dict) and state.keys() <= {"_metadata"}
        if not (is_versions and isinstance(target, _Dict) and target.is_ordered):
            names = ", ".join(map(shown, state)) if isinstance(state, _Dict) else "a state"
            raise RefusedPickle(f"attributes of {_kind(target)} ({names[:100]})")


_ACTIONS: Mapping[str, Callable[[_Walk, Any], None]] = {
    **dict.fromkeys(("BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"), _Walk._push),
    "EMPTY_DICT": lambda walk, _: walk._push(_Dict()),
    "EMPTY_LIST": lambda walk, _: walk._push(_List()),
    "EMPTY_TUPLE": lambda walk, _: walk._push(_Tuple()),
    "NEWFALSE": lambda walk, _: walk._push(False),
    "NEWTRUE": lambda walk, _: walk._push(True),
    "NONE": lambda walk, _: walk._push(None),
    "SHORT_BINSTRING": _Walk._push,
    "APPEND": lambda walk, _: walk._append([walk.stack.pop()]),
    "APPENDS": lambda walk, _: walk._append(walk._since_mark()),
    "BINGET": _Walk._get,
    "BINPERSID": _Walk._load_storage,
    "BINPUT": _Walk._put,
    "BUILD": _Walk._build,
    "GLOBAL": _Walk._name,
    "LONG_BINGET": _Walk._get,
    "LONG_BINPUT": _Walk._put,
    "MARK": _Walk._mark,
    "PROTO": lambda walk, _: None,
    "REDUCE": _Walk._reduce,
    "SETITEM": lambda walk, _: walk._set_items([walk.stack.pop(-2), walk.stack.pop()]),
    "SETITEMS": lambda walk, _: walk._set_items(walk._since_mark()),
    "STOP": lambda walk, _: None,
    "TUPLE": lambda walk, _: walk._make_tuple(walk._since_mark()),
    "TUPLE1": lambda walk, _: walk._make_tuple([walk.stack.pop()]),
    "TUPLE2": lambda walk, _: walk._make_tuple([walk.stack.pop(-2), walk.stack.pop()]),
    "TUPLE3": lambda walk, _: walk._make_tuple([walk.stack.pop(-3), walk.stack.pop(-2), walk.stack.pop()]),
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


def _kind(value: Any) -> str:
    """What a value is called in a sentence."""
    names = {_Dict: "a dictionary", _List: "a list", _Tuple: "a tuple", StoredTensor: "a tensor"}
    if isinstance(value, Global):
        return f"'{value.name}'"
    return names.get(type(value), f"a {type(value).__name__}")
