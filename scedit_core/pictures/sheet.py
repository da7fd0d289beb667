"""Pictures of any sizes side by side on one sheet, each with a label below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import SCEditError
from ..hint import scaled
from .lettering import Face, face_for, lines_of, plain

MOST_PICTURES = 256
MOST_PIXELS = 2**24  # of a sheet
MOST_COLUMNS = 64
_GAP = 12  # pixels between two cells, and around all
_PAPER, _INK = (236, 236, 236), (30, 30, 30)  # so that white and black pictures have an edge
_MOST_LINES = 3
_SMALLEST_LETTERS, _LARGEST_LETTERS = 14, 40  # pixels
_LETTERS_ACROSS = 24  # that a label has room for, as wide as they are high
_NARROWEST_LABEL = 96  # pixels; pictures that are narrower have cells of this width

Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True)
class Sheet:
    """A picture `(H, W, 3)`, 0..1, its columns, and the letters that no font of this computer has."""

    picture: Tensor
    columns: int
    missing: frozenset[str]


@dataclass(frozen=True)
class _Plan:
    """Where all goes, from the sizes of the pictures, the lines of their labels and the size of a letter."""

    sizes: Sequence[Size]
    lines: Sequence[Sequence[str]]
    width: int  # of a cell
    letters: int
    columns: int

    @property
    def _leading(self) -> int:
        return math.ceil(1.35 * self.letters)

    def _rows(self) -> list[tuple[int, int]]:
        """Of each row of cells the heights of its pictures and of its labels, 0 if it has none."""
        rows = []
        for first in range(0, len(self.sizes), self.columns):
            row = slice(first, first + self.columns)
            lines = max(map(len, self.lines[row]))
            label = _GAP // 2 + lines * self._leading if lines else 0
            rows.append((max(height for height, _ in self.sizes[row]), label))
        return rows

    def size(self) -> Size:
        """Of the sheet."""
        height = sum(pictures + label + _GAP for pictures, label in self._rows())
        return _GAP + height, _GAP + self.columns * (self.width + _GAP)

    def cells(self) -> list[tuple[int, int, int]]:
        """Top, left and height of the place of each picture; its label begins where the place ends."""
        found, top = [], _GAP
        for height, label in self._rows():
            lefts = (_GAP + column * (self.width + _GAP) for column in range(self.columns))
            found += [(top, left, height) for left in lefts]
            top += height + label + _GAP
        return found[: len(self.sizes)]

    def baselines(self) -> list[tuple[int, int, str]]:
        """Middle and baseline of each line of each label, and the line."""
        found = []
        for (top, left, height), lines in zip(self.cells(), self.lines, strict=True):
            first, middle = top + height + _GAP // 2 + self.letters, left + self.width // 2
            found += [(middle, first + number * self._leading, line) for number, line in enumerate(lines)]
        return found

    def near_square(self) -> _Plan:
        """With those columns that make the longer side shortest; of these few empty cells, then few rows."""
        count = len(self.sizes)
        plans = [replace(self, columns=columns) for columns in range(1, min(count, MOST_COLUMNS) + 1)]
        return min(plans, key=lambda plan: (max(plan.size()), -count % plan.columns, -plan.columns))


def compare_sheet(
    pictures: Sequence[Tensor], labels: Sequence[str] = (), columns: int = 0, cell_size: int = 0
) -> Sheet:
    """One sheet of pictures `(3, H, W)`, 0..1, row by row, picture k with label k below it.

    Fewer labels than pictures leave the rest without; more are ignored. `columns` 0 makes the sheet nearly
    square. `cell_size` is the longest side of a picture, in pixels: larger ones are made smaller, none grows,
    and 0 keeps all as they are. Cells are as wide as the widest picture and as high as the highest of their
    row; smaller ones stand in their middle. Raises SCEditError for no picture, for more than MOST_PICTURES,
    and for a sheet of more than MOST_PIXELS.
    """
    if not 0 < len(pictures) <= MOST_PICTURES:
        raise SCEditError(
            f"a sheet has 1 to {MOST_PICTURES} pictures, got {len(pictures)}; show no more at a time"
        )
    texts = [plain(label) for label in labels[: len(pictures)]]
    texts += [""] * (len(pictures) - len(texts))
    face = face_for(texts)
    own = [(picture.shape[-2], picture.shape[-1]) for picture in pictures]
    plan = _plan(own, texts, face, columns, cell_size)
    if math.prod(plan.size()) > MOST_PIXELS:
        raise SCEditError(_too_large(own, texts, face, columns, plan))
    page = _page(plan, face)
    for picture, size, cell in zip(pictures, plan.sizes, plan.cells(), strict=True):
        top, left = cell[0] + (cell[2] - size[0]) // 2, cell[1] + (plan.width - size[1]) // 2
        shown = scaled(picture[None].clamp(0, 1), size)[0].movedim(0, -1)  # (H, W, 3)
        page[top : top + size[0], left : left + size[1]] = shown.to(page)
    return Sheet(page, plan.columns, face.missing)


def _plan(own: Sequence[Size], texts: Sequence[str], face: Face, columns: int, cell_size: int) -> _Plan:
    sizes = [_fitted(size, cell_size) for size in own]
    width = max(_NARROWEST_LABEL if any(texts) else 1, *(width for _, width in sizes))
    letters = min(max(width // _LETTERS_ACROSS, _SMALLEST_LETTERS), _LARGEST_LETTERS)
    font = face.at(letters)
    lines = [lines_of(face.written(text), font, width, _MOST_LINES) for text in texts]
    plan = _Plan(sizes, lines, width, letters, min(columns or 1, len(own)))
    return plan if columns else plan.near_square()


def _fitted(size: Size, longest: int) -> Size:
    """The size of a picture whose sides are at most so long, 0 for no limit."""
    factor = longest / max(size) if longest else 1.0
    height, width = (max(1, round(side * min(factor, 1.0))) for side in size)
    return height, width


def _too_large(own: Sequence[Size], texts: Sequence[str], face: Face, columns: int, plan: _Plan) -> str:
    """The sentence about a sheet that is too large, with a cell_size at which it is not."""
    height, width = plan.size()
    fits = max(max(size) for size in plan.sizes)
    while math.prod(_plan(own, texts, face, columns, fits).size()) > MOST_PIXELS:
        fits = fits * 7 // 8
    return (
        f"the sheet would have {width} x {height} pixels, and {MOST_PIXELS} are the most; set cell_size to "
        f"{fits} or less, or show fewer pictures"
    )


def _page(plan: _Plan, face: Face) -> Tensor:
    """Paper `(H, W, 3)`, 0..1, with all labels on it."""
    height, width = plan.size()
    image = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(image), face.at(plan.letters)
    for middle, baseline, line in plan.baselines():
        draw.text((middle, baseline), line, fill=_INK, font=font, anchor="ms")
    return torch.from_numpy(np.array(image)).float() / 255
