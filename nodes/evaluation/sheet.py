"""Held-out pictures beside what was painted, on one labelled sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...scedit_core.evaluation.record import INVERTED, OFF, ON, SHUFFLED
from ...scedit_core.evaluation.verdict import main_measure
from ...scedit_core.pictures.sheet import compare_sheet
from .measuring import Measured

_MOST_ROWS = 8
_CELLS = ((16, 512), (32, 384))  # so many cells have at most this side, in pixels
_WORDS = {ON: "with it", OFF: "without it", SHUFFLED: "with another's hint", INVERTED: "hint inverted"}


def sheet_of(measured: Measured) -> Tensor:
    """The sheet `(H, W, 3)`, 0..1: a row for each picture, from the first seed, each with its figure."""
    ways = [way for way in _WORDS if way in measured.painted]
    cells, labels = [], []
    for number in range(min(_MOST_ROWS, len(measured.originals))):
        cells.append((measured.hints or measured.originals)[number])
        labels.append("hint" if measured.hints else "of the style")
        for way in ways:
            picture = measured.painted[way][0][number]
            cells.append(picture)
            labels.append(_label(measured, way, picture, number))
    side = next((side for most, side in _CELLS if len(cells) <= most), 320)
    return compare_sheet([_image(cell) for cell in cells], labels, 1 + len(ways), side).picture


def _label(measured: Measured, way: str, picture: np.ndarray, number: int) -> str:
    """Such as 'with it: F1 0.86'; figures that a net takes are those of all pictures, and not said here."""
    measure, kind = main_measure(measured.record), measured.record.row
    if measure is None or kind.net or not measured.hints:
        return _WORDS[way]
    value = measure.of(picture, measured.hints[number])
    return f"{_WORDS[way]}: {measure.name} {value:.{measure.digits}f}"


def _image(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0).float() / 255


def lines_of(measured: Measured) -> Sequence[str]:
    """What is said of it beside the sheet: the verdict, all figures, and what was left out."""
    record = measured.record
    steps, seeds = record.settings["steps"], ", ".join(map(str, record.seeds))
    of = f"pictures: {record.pictures}, seeds: {seeds}, steps: {steps}"
    return [measured.verdict, *record.lines(), of, *(f"left out: {one}" for one in record.left_out)]
