"""Contact sheets: rows of pictures with captions, under a title and plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["PLAIN_WORDS", "Tile", "sheet"]

PLAIN_WORDS = (
    "Made by the sandbox: a toy model of 9 million weights, trained on drawn scenes of 256 x 256 pixels. It "
    "shows that controls and styles act as they should; it says nothing about how real checkpoints draw."
)
_CELL, _GAP, _MARGIN, _CAPTION = 192, 12, 24, 40
_INK, _FAINT, _PAPER = "#1b1f24", "#57606a", "#ffffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, uint8 `(H, W, 3)` or `(H, W)`, and up to two lines of text below it."""

    picture: np.ndarray
    caption: str


def sheet(title: str, rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """One picture of all rows."""
    columns = max(len(row) for row in rows)
    width = 2 * _MARGIN + columns * _CELL + (columns - 1) * _GAP
    heading, plain = ImageFont.load_default(22), ImageFont.load_default(13)
    words = _wrap(PLAIN_WORDS, plain, width - 2 * _MARGIN)
    top = _MARGIN + 36 + 18 * len(words) + _GAP
    pitch = _CELL + _CAPTION + _GAP
    page = Image.new("RGB", (width, top + len(rows) * pitch + _MARGIN - _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN), title, _INK, heading)
    draw.multiline_text((_MARGIN, _MARGIN + 34), "\n".join(words), _FAINT, plain, spacing=5)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            _place(page, draw, tile, (_MARGIN + j * (_CELL + _GAP), top + i * pitch))
    return page


def _place(page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int]) -> None:
    picture = Image.fromarray(tile.picture).convert("RGB").resize((_CELL, _CELL), Image.Resampling.LANCZOS)
    page.paste(picture, corner)
    font = ImageFont.load_default(12)
    lines = _wrap(tile.caption, font, _CELL)[:2]
    draw.multiline_text((corner[0], corner[1] + _CELL + 4), "\n".join(lines), _FAINT, font, spacing=3)


def _wrap(text: str, font: Font, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
