"""Figures of many pictures: by way, with their spread over seeds and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .displacement import Shift, displacement, overlapping
from .kinds import Kind
from .measures import style_distance
from .record import MOVED, PICTURES, Record, Spread
from .verdict import FOLLOWED, is_better, share

Rows = Sequence[Sequence[np.ndarray]]  # pictures uint8 (H, W, 3), by seed and then by number
Figures = Mapping[str, Mapping[str, Spread]]

_LEAST = 4  # pixels of a shift: results meet a hint to within 3


def figures_of(kind: Kind, found: Mapping[str, Rows], hints: Sequence[np.ndarray]) -> Figures:
    """All figures of a kind, of what was found in pictures by way, against the hint of each picture."""
    return {
        measure.key: {way: Spread.of(_values(measure.of, rows, hints)) for way, rows in found.items()}
        for measure in kind.measures
    }


def style_figures(kind: Kind, painted: Mapping[str, Rows], originals: Sequence[np.ndarray]) -> Figures:
    """How far the pictures of each seed are, all together, from those of a style."""
    return {
        measure.key: {
            way: Spread.of(np.array([[style_distance(row, originals)] for row in rows]))
            for way, rows in painted.items()
        }
        for measure in kind.measures
    }


def change(rows: Rows, others: Rows) -> float:
    """Mean absolute difference of pictures in pairs, in levels of 255; 0 only if all are the same."""
    apart = [
        np.abs(one.astype(np.float32) - other).mean()
        for row, without in zip(rows, others, strict=True)
        for one, other in zip(row, without, strict=True)
    ]
    return float(np.mean(apart))


def with_shift(record: Record, rows: Rows, hints: Sequence[np.ndarray]) -> Record:
    """The record, with figures read where results have what the hint shows, if another place has much more.

    `rows` is what was found in the results with the tuner.
    """
    kind, pairs = record.row, [(one, hint) for row in rows for one, hint in zip(row, hints, strict=True)]
    shift = _shift(kind, pairs)
    if shift is None:
        return record
    figures = {}
    for measure in kind.measures:
        moved = [
            [measure.of(*overlapping(one, hint, shift)) for one, hint in zip(row, hints, strict=True)]
            for row in rows
        ]
        figures[measure.key] = {**record.figures[measure.key], MOVED: Spread.of(np.array(moved))}
    moved_record = replace(record, figures=figures, shift=shift)
    return moved_record if is_better(moved_record, MOVED) else record


def with_hint_shift(record: Record, pictures: Sequence[np.ndarray], hints: Sequence[np.ndarray]) -> Record:
    """The record, with the shift of hints that lie beside what their own pictures show.

    `pictures` is what was found in the held-out pictures themselves: if anything, they follow their hints.
    """
    fits = share(record, PICTURES)
    if fits is None or fits >= FOLLOWED:
        return record
    shift = _shift(record.row, list(zip(pictures, hints, strict=True)))
    if shift is None:
        return record
    measure = record.row.measures[0]
    here, there = (
        np.mean([measure.of(*overlapping(one, hint, at)) for one, hint in zip(pictures, hints, strict=True)])
        for at in ((0, 0), shift)
    )
    is_nearer = abs(there - measure.best) < abs(here - measure.best) / 2
    return replace(record, hint_shift=(-shift[0], -shift[1])) if is_nearer else record


def _shift(kind: Kind, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Shift | None:
    """The shift of what was found against hints; None if it is none, or cannot be told for the kind."""
    if kind.maps is None:
        return None
    of_found, of_hint = kind.maps
    shift = displacement([of_found(one) for one, _ in pairs], [of_hint(hint) for _, hint in pairs])
    right, down = (each if abs(each) >= _LEAST else 0 for each in shift)
    return (right, down) if right or down else None


def _values(
    of: Callable[[np.ndarray, np.ndarray], float], rows: Rows, hints: Sequence[np.ndarray]
) -> np.ndarray:
    """Figures `(seeds, pictures)`."""
    return np.array([[of(found, hint) for found, hint in zip(row, hints, strict=True)] for row in rows])
