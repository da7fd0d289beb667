"""Factors that change from place to place: over the denoising, or from latent to latent."""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from .errors import SCEditError, shown

MOST_POINTS = 256
FACTORS = (-10.0, 10.0)
_MOST_CHARACTERS = 8_192
NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?"
_POINT = re.compile(rf"\s*({NUMBER})\s*([:=@])\s*({NUMBER})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Curve:
    """A factor at each place: linear between its points `(place, factor)`, held before and after them.

    Places are in order. Two points of one place are a jump; at the very place the stronger of them counts,
    so that a window takes in both its ends.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        numbers = [number for point in self.points for number in point]
        places = [place for place, _ in self.points]
        if not self.points or not all(map(math.isfinite, numbers)) or places != sorted(places):
            raise SCEditError(
                f"a curve needs points in the order of their places, all of them finite numbers, got "
                f"{shown(list(self.points))}"
            )

    def at(self, place: float) -> float:
        """The factor at a place."""
        places = [each for each, _ in self.points]
        first, after = bisect_left(places, place), bisect_right(places, place)
        if first < after:
            return max((factor for _, factor in self.points[first:after]), key=abs)
        if first == 0 or first == len(places):
            return self.points[max(0, first - 1)][1]
        (left, low), (right, high) = self.points[first - 1 : first + 1]
        part = (place - left) / (right - left)
        return low + part * (high - low)

    @property
    def is_one(self) -> bool:
        """True if it changes nothing anywhere."""
        return all(factor == 1 for _, factor in self.points)

    @property
    def is_zero(self) -> bool:
        """True if it leaves nothing anywhere."""
        return all(factor == 0 for _, factor in self.points)

    def refined(self, pieces: int) -> Curve:
        """The same curve with its slopes cut into pieces, for who bends the places afterwards."""
        points = [self.points[0]]
        for (left, low), (right, high) in pairwise(self.points):
            count = pieces if low != high and left != right else 1
            steps = [step / count for step in range(1, count)]
            points += [(left + part * (right - left), low + part * (high - low)) for part in steps]
            points.append((right, high))
        return Curve(tuple(points))

    @property
    def text(self) -> str:
        """How a user would write it; `read_curve` reads it back."""
        return ", ".join(f"{place:.6g}:{factor:.6g}" for place, factor in self.points)


def read_curve(text: str, what: str, last: float, example: str) -> Curve | None:
    """A curve out of `place:factor, ...`, None for an empty text. `place=factor`, `factor@place` do as well.

    Wide signs, as Chinese keyboards have them, are read too. Places go from 0 to `last`, factors from -10 to
    10. Raises SCEditError for anything else.
    """
    if not text.strip():
        return None
    if len(text) > _MOST_CHARACTERS:
        raise SCEditError(
            f"{what} has {len(text)} characters, at most {_MOST_CHARACTERS} are read; write fewer points"
        )
    parts = [part for part in entries_of(text) if part.strip()]
    if len(parts) > MOST_POINTS:
        raise SCEditError(
            f"{what} has {len(parts)} points, at most {MOST_POINTS} are read; between points it is linear"
        )
    points = tuple(_point(part, what, last, example) for part in parts)
    _check_order(points, what)
    return Curve(points)


def entries_of(text: str) -> list[str]:
    """What a text lists, with wide signs made plain: commas, semicolons and new lines part its entries."""
    return re.split(r"[,;\u3001\n]", unicodedata.normalize("NFKC", text))


def _point(part: str, what: str, last: float, example: str) -> tuple[float, float]:
    match = _POINT.fullmatch(part)
    if match is None:
        raise SCEditError(f"{what} is written like '{example}', got '{shown(part.strip(), 40)}' in it")
    before, sign, after = match.groups()
    place, factor = (after, before) if sign == "@" else (before, after)
    if not 0 <= float(place) <= last:
        raise SCEditError(
            f"{what} goes from 0 to {last:g}, got {shown(place, 40)} in '{shown(part.strip(), 40)}'; write "
            f"it like '{example}'"
        )
    if not FACTORS[0] <= float(factor) <= FACTORS[1]:
        raise SCEditError(
            f"factors of {what} go from {FACTORS[0]:g} to {FACTORS[1]:g}, got {shown(factor, 40)} in "
            f"'{shown(part.strip(), 40)}'"
        )
    return float(place), float(factor)


def _check_order(points: Iterable[tuple[float, float]], what: str) -> None:
    for (left, _), (right, _) in pairwise(points):
        if right < left:
            raise SCEditError(f"{what} has {right:g} after {left:g}; write its points in order")
