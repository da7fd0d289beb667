"""Weights by skip: from the deepest, which output block 0 gets, to the shallowest, which the last gets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .curve import FACTORS, NUMBER, entries_of
from .errors import SCEditError, listed, shown

Presets = Mapping[str, Sequence[float]]
MOST_SKIPS = 64
SOFT_DECAY = 0.825  # from one skip to the next, as in sd-webui-controlnet
EXAMPLE = "1, 1, 0.5, 0"
# Found by trying them on a model of nine skips, three to a resolution; docs/composition.md has what they do.
PRESETS: Presets = {
    "structure": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0),
    "detail": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 1.5, 1.5),
    "colour": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.25, 0.25, 0.25),
    "deep": (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "shallow": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
}
_NAMED_EXAMPLE = "9:0.5, 10:0"
_MOST_CHARACTERS = 2_000
_NUMBER = re.compile(rf"\s*({NUMBER})\s*", re.IGNORECASE)
_PAIR = re.compile(rf"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?[:=]\s*({NUMBER})\s*", re.IGNORECASE)
_NAME = re.compile(r"\s*([^\W\d_][\w -]{0,39})\s*")


@dataclass(frozen=True)
class SkipWeights:
    """A weight for each skip.

    `listed` are all of them, the deepest first; with `is_stretched` they are spread over however many skips a
    model has, linear between. `named` are for output blocks by their number, and the others have 1.
    """

    listed: tuple[float, ...] = ()
    named: Mapping[int, float] | None = None
    is_stretched: bool = False

    def of_skips(self, count: int) -> tuple[float, ...]:
        """The weight of each of a model's skips. Raises SCEditError if they are not as many, or not there."""
        if self.named is not None:
            unknown = [block for block in self.named if block >= count]
            if unknown:
                raise SCEditError(
                    f"skip_weights names output block {listed(list(map(str, unknown)))}, this model has "
                    f"blocks 0 to {count - 1}; 0 is the deepest"
                )
            return tuple(self.named.get(block, 1.0) for block in range(count))
        if self.is_stretched:
            return _stretched(self.listed, count)
        if len(self.listed) != count:
            raise SCEditError(
                f"skip_weights has {len(self.listed)} numbers, this model has {count} skips; write one for "
                f"each, the deepest first, or name output blocks: '{_NAMED_EXAMPLE}'"
            )
        return self.listed


def read_skip_weights(text: str, presets: Callable[[], Presets]) -> SkipWeights | None:
    """Weights out of a text: a number for each skip, `block:weight` pairs, or a preset's name; None if empty.

    In pairs `0-3:0.5` stands for all blocks from 0 to 3. `presets` is asked when there is a name. Wide signs,
    as Chinese keyboards have them, are read too. Raises SCEditError for anything else, and for weights beyond
    -10 to 10.
    """
    if not text.strip():
        return None
    if len(text) > _MOST_CHARACTERS:
        raise SCEditError(
            f"skip_weights has {len(text)} characters, at most {_MOST_CHARACTERS} are read; write it like "
            f"'{EXAMPLE}'"
        )
    parts = [part for part in entries_of(text) if part.strip()]
    if len(parts) == 1 and (name := _NAME.fullmatch(parts[0])):
        return _preset(name[1].strip(), presets())
    if all(_NUMBER.fullmatch(part) for part in parts):
        return SkipWeights(read_numbers(parts, "skip_weights"))
    return SkipWeights(named=_named(parts))


def read_presets(text: str, what: str) -> dict[str, tuple[float, ...]]:
    """Presets out of lines like `name: 1, 1, 0.5`, the deepest skip first; `#` begins what is for people.

    As many numbers as one likes: they are spread over a model's skips. Raises SCEditError, with the line.
    """
    presets = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.split("#", 1)[0].strip()
        if not said:
            continue
        name, sign, weights = unicodedata.normalize("NFKC", said).replace("=", ":", 1).partition(":")
        if not sign or not _NAME.fullmatch(name):
            raise SCEditError(
                f"line {number} of {what} is '{shown(said, 40)}'; write it like 'my own: {EXAMPLE}', with "
                "a name that begins with a letter"
            )
        presets[name.strip()] = read_numbers(entries_of(weights), f"line {number} of {what}")
    return presets


def read_numbers(parts: Sequence[str], what: str) -> tuple[float, ...]:
    """Weights for skips, the deepest first, out of a number each."""
    numbers = []
    for part in parts:
        match = _NUMBER.fullmatch(part)
        if match is None:
            raise SCEditError(
                f"{what} lists numbers like '{EXAMPLE}', got '{shown(part.strip(), 40)}'; write numbers"
            )
        numbers.append(_weight(match[1], what))
    if not 0 < len(numbers) <= MOST_SKIPS:
        raise SCEditError(
            f"{what} has {len(numbers)} numbers, 1 to {MOST_SKIPS} can be read; write one for each skip"
        )
    return tuple(numbers)


def soft_weights(count: int) -> tuple[float, ...]:
    """Weights that leave more of a picture to its prompt: 0.825^n for the n-th skip, the deepest first.

    Those of the modes "My prompt is more important" and "ControlNet is more important" of sd-webui-controlnet
    (scripts/hook.py), whose n = 0 is the middle block; it has no skip, and so the deepest skip has n = 1.
    """
    return tuple(SOFT_DECAY ** (depth + 1) for depth in range(count))


def _stretched(listed: Sequence[float], count: int) -> tuple[float, ...]:
    """These numbers spread evenly over so many skips, the first and the last at the ends."""
    last = len(listed) - 1
    weights = []
    for skip in range(count):
        place = skip * last / max(1, count - 1)
        left = min(int(place), max(0, last - 1))
        right = min(left + 1, last)
        weights.append(listed[left] + (place - left) * (listed[right] - listed[left]))
    return tuple(weights)


def _preset(name: str, presets: Presets) -> SkipWeights:
    found = {known.casefold(): weights for known, weights in presets.items()}.get(name.casefold())
    if found is None:
        raise SCEditError(
            f"skip_weights knows no preset '{shown(name, 40)}', there are {listed(list(presets), 12)}; "
            f"choose one, or write numbers like '{EXAMPLE}'"
        )
    return SkipWeights(tuple(found), is_stretched=True)


def _named(parts: Sequence[str]) -> dict[int, float]:
    named: dict[int, float] = {}
    for part in parts:
        match = _PAIR.fullmatch(part)
        if match is None:
            raise SCEditError(
                f"skip_weights is written like '{EXAMPLE}' or '{_NAMED_EXAMPLE}', or is a preset's name, got "
                f"'{shown(part.strip(), 40)}' in it"
            )
        first, last, number = match.groups()
        span = range(int(first), int(last or first) + 1)
        if not span or span[-1] >= MOST_SKIPS:
            raise SCEditError(
                f"output blocks go from 0 to {MOST_SKIPS - 1} at most, in order, got "
                f"'{shown(part.strip(), 40)}'; 0 is the deepest"
            )
        twice = named.keys() & set(span)
        if twice:
            raise SCEditError(f"skip_weights names output block {min(twice)} twice; write it once")
        named |= dict.fromkeys(span, _weight(number, "skip_weights"))
    return named


def _weight(number: str, what: str) -> float:
    weight = float(number)
    if not FACTORS[0] <= weight <= FACTORS[1]:
        raise SCEditError(
            f"weights of {what} go from {FACTORS[0]:g} to {FACTORS[1]:g}, got {shown(number, 40)}; "
            "write another"
        )
    return weight
