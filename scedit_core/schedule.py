"""Schedules of strength over the denoising: by their shapes, and what the steps of a sampling hear of one."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .curve import Curve, read_curve
from .errors import SCEditError

EXAMPLE = "0:0.2, 0.4:1, 0.8:0"
MOST_STAIRS = 64
_BELL_PIECES = 10
Points = tuple[tuple[float, float], ...]


def read_schedule(text: str) -> Curve | None:
    """A schedule out of a text, from parts of the denoising 0..1 to factors; None, which is 1, if empty."""
    return read_curve(text, "schedule", 1.0, EXAMPLE)


def constant(strength: float) -> Points:
    """The same factor throughout."""
    return ((0.0, strength), (1.0, strength))


def fade(first: float, last: float, start: float, end: float) -> Points:
    """From one factor to another."""
    _check_span(start, end)
    return ((start, first), (end, last))


def bell(strength: float, rest: float, start: float, end: float) -> Points:
    """From `rest` smoothly up to `strength` and down again: a sine squared, in straight pieces."""
    _check_span(start, end)
    parts = [piece / _BELL_PIECES for piece in range(_BELL_PIECES + 1)]
    return tuple(
        (start + part * (end - start), rest + (strength - rest) * round(math.sin(math.pi * part) ** 2, 4))
        for part in parts
    )


def stairs(first: float, last: float, start: float, end: float, count: int) -> Points:
    """From one factor to another in so many stairs of equal width and height."""
    _check_span(start, end)
    if not 2 <= count <= MOST_STAIRS:
        raise SCEditError(f"a schedule has 2 to {MOST_STAIRS} stairs, got {count}; choose another number")
    factors = [first + (last - first) * stair / (count - 1) for stair in range(count)]
    edges = [start + (end - start) * stair / count for stair in range(count + 1)]
    return tuple(
        point
        for stair, factor in enumerate(factors)
        for point in ((edges[stair], factor), (edges[stair + 1], factor))
    )


def early(strength: float, rest: float, end: float) -> Points:
    """One factor up to a place, another after it."""
    return ((0.0, strength), (end, strength), (end, rest))


def late(strength: float, rest: float, start: float) -> Points:
    """One factor from a place on, another before it."""
    return ((start, rest), (start, strength), (1.0, strength))


def unheard(curve: Curve, steps: Sequence[float]) -> Points:
    """Points of a curve that could be left out without any step's noticing, though the curve would differ.

    `steps` are the places, in order, at which the factors are read. Such points lie between two of them, or
    beyond the last, together with their neighbours.
    """
    kept, found = list(curve.points), []
    for point in curve.points:
        at = kept.index(point)
        before = kept[at - 1][0] if at else -math.inf
        after = kept[at + 1][0] if at + 1 < len(kept) else math.inf
        is_seen = bisect_right(steps, before) < bisect_left(steps, after) or point[0] in steps
        others = (*kept[:at], *kept[at + 1 :])
        if not is_seen and others and not math.isclose(Curve(others).at(point[0]), point[1], abs_tol=1e-9):
            found.append(point)
            kept.pop(at)
    return tuple(found)


def _check_span(start: float, end: float) -> None:
    if not start < end:
        raise SCEditError(
            f"a schedule changes from start to end, and end must be greater than start, got {start:g} and "
            f"{end:g}; for a sudden change choose 'early only' or 'late only'"
        )
