"""The axes of a plot: where its numbers lie in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import ImageDraw, ImageFont

SIZE = (768, 432)
INK, GRID = (40, 40, 40), (225, 225, 225)
LEFT, TOP, RIGHT, BOTTOM = 72, 24, SIZE[0] - 24, SIZE[1] - 44  # of the field that the axes span


@dataclass(frozen=True)
class Axes:
    """Values from `low` to `high` upwards, and parts 0..1 to the right with `ticks` below them, as evenly."""

    low: float
    high: float
    ticks: Sequence[str]
    title: str

    def points(self, parts: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
        """Where values lie at parts of the way to the right; those beyond the axis lie on its end."""
        x = LEFT + parts * (RIGHT - LEFT)
        shares = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        y = BOTTOM - shares * (BOTTOM - TOP)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Grid, numbers and title."""
        font = ImageFont.load_default(13)
        for part in np.linspace(0, 1, 5).tolist():
            y = BOTTOM - part * (BOTTOM - TOP)
            draw.line([(LEFT, y), (RIGHT, y)], fill=GRID)
            value = self.low + part * (self.high - self.low)
            draw.text((LEFT - 8, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
        for part, tick in zip(np.linspace(0, 1, len(self.ticks)).tolist(), self.ticks, strict=True):
            draw.text((LEFT + part * (RIGHT - LEFT), BOTTOM + 8), tick, fill=INK, font=font, anchor="ma")
        for a, b in pairwise([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)]):
            draw.line([a, b], fill=INK)
        draw.text(((LEFT + RIGHT) / 2, BOTTOM + 24), self.title, fill=INK, font=font, anchor="ma")
