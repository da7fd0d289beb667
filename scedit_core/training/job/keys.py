"""What a key of a job file may hold: its kind, its range, its default, and what is said of it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from ...errors import SCEditError, shown
from ..config import check_range

Kind = Literal["text", "texts", "whole", "number", "switch"]

_WORDS: dict[Kind, str] = {
    "text": "a text in quotes",
    "texts": "a list of texts in quotes",
    "whole": "a whole number",
    "number": "a number",
    "switch": "true or false",
}
_EXAMPLES: dict[Kind, str] = {
    "text": '"words"',
    "texts": '["canny", "color"]',
    "whole": "4",
    "number": "0.5",
    "switch": "true",
}
_MOST_TEXTS = 64
_TOO_LONG = 10**40  # a number to be written in a sentence


@dataclass(frozen=True)
class Key:
    """One key. `limits` are the least and the most, both included; `control` is a control's own default."""

    kind: Kind
    says: str
    default: Any
    control: Any = None
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Whether a job has to give it."""
        return self.default is MISSING

    def usual(self, kind: str) -> Any:
        """The default for tuners of this kind, "sc" or "csc"."""
        return self.control if kind == "csc" and self.control is not None else self.default

    def explained(self, width: int) -> list[str]:
        """Lines that say what it is for, what it may be, and its default."""
        facts = [self.says]
        if self.choices:
            facts.append(f"One of: {', '.join(self.choices)}.")
        if self.limits is not None:
            facts.append(f"From {self.limits[0]:g} to {self.limits[1]:g}.")
        if self.is_needed:
            facts.append("Has to be given.")
        elif self.control is not None:
            facts.append(f"Default {self.default}, for controls {self.control}.")
        else:
            facts.append(f"Default {self._told}.")
        return textwrap.wrap(" ".join(facts), width)

    @property
    def _told(self) -> str:
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return str(self.default) if self.default not in ("", ()) else "empty"

    def checked(self, name: str, value: Any) -> Any:
        """The value, of the type that the key has. Raises SCEditError, with `name`, for any other."""
        if not _is(self.kind, value):
            raise SCEditError(
                f"{name} takes {_WORDS[self.kind]}, got {_described(value)}; write for instance "
                f"{self._example(name)}"
            )
        if self.limits is not None:
            check_range(name, value, self.limits)
        for one in value if self.kind == "texts" else [value]:
            if self.choices and one not in self.choices:
                raise SCEditError(
                    f"{name} is one of {', '.join(self.choices)}, got '{shown(one)}'; choose one of them"
                )
        if self.kind == "texts":
            return tuple(value)
        return float(value) if self.kind == "number" else value

    def _example(self, name: str) -> str:
        plain = name.rsplit(" ", 1)[-1]
        return (
            f'{plain} = "{self.choices[0]}"'
            if self.choices and self.kind == "text"
            else (f"{plain} = {_EXAMPLES[self.kind]}")
        )


def text(says: str, default: Any = MISSING, choices: Sequence[str] = ()) -> Any:
    """The field of a text, or of one of some words."""
    return _field(Key("text", says, default, choices=tuple(choices)))


def texts(says: str, choices: Sequence[str] = ()) -> Any:
    """The field of a list of texts, empty if it is not given."""
    return _field(Key("texts", says, (), choices=tuple(choices)))


def whole(says: str, default: int, limits: tuple[float, float], control: int | None = None) -> Any:
    """The field of a whole number."""
    return _field(Key("whole", says, default, control, limits))


def number(says: str, default: float, limits: tuple[float, float]) -> Any:
    """The field of a number."""
    return _field(Key("number", says, default, limits=limits))


def switch(says: str, default: bool) -> Any:
    """The field of something that is on or off."""
    return _field(Key("switch", says, default))


def keys_of(part: Any) -> Iterator[tuple[str, Key]]:
    """Names and keys of a part of a job, in their order."""
    return ((one.name, one.metadata["key"]) for one in fields(part))


def _field(key: Key) -> Any:
    return field(default=key.default, metadata={"key": key})


def _is(kind: Kind, value: Any) -> bool:
    if kind == "texts":
        is_list = isinstance(value, list) and len(value) <= _MOST_TEXTS
        return is_list and all(isinstance(one, str) for one in value)
    if kind == "text":
        return isinstance(value, str)
    if kind == "switch" or isinstance(value, bool):
        return kind == "switch" and isinstance(value, bool)
    if isinstance(value, int):
        return kind in ("whole", "number") and abs(value) < _TOO_LONG
    return kind == "number" and isinstance(value, float) and math.isfinite(value)


def _described(value: Any) -> str:
    """What came, for a sentence."""
    if isinstance(value, str):
        return f"the text '{shown(value, 60)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        is_short = isinstance(value, float) or abs(value) < _TOO_LONG
        return f"the number {value!r}" if is_short else "a number without end"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"
