"""The sheet of a skip analysis: a distribution, feature maps, and bars for skips and for tuners."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..skip_figures import densities, energy, variance
from .axes import BOTTOM, INK, LEFT, RIGHT, SIZE, TOP, Axes

_COLOURS = ((30, 90, 200), (225, 140, 20), (205, 60, 40))
_MAPS_TOP, _GAP = 48, 8  # where feature maps begin in their panel, and what lies between them
_LEGEND = 1.3  # by how much the plot is higher than its highest curve, so that its legend has room
_HEAD = 36  # height of the sheet's title
_ROUND = (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10)  # a quarter of an axis, in powers of 10
_TITLE, _SMALL = 15, 13  # sizes of letters
# dark to bright, in equal steps; even in brightness, so that no edge is seen where there is none
_SHADES = np.array(
    [(13, 8, 70), (90, 20, 120), (170, 45, 110), (228, 95, 70), (250, 170, 60), (252, 250, 165)]
)
_NOT_LATIN = re.compile(r"[^\x20-\x7e\u00a0-\u017f]+")
_NONE = (150, 150, 150)  # where a map has no number


@dataclass(frozen=True, eq=False)
class Decoded:
    """A way to run the U-Net, and what its decoder made: `outputs[block]` `(C, H, W)`, the last one last."""

    name: str
    outputs: dict[int, Tensor]


@dataclass(frozen=True)
class Bars:
    """Shares by which the picture is moved, NaN where it has no numbers; one bar for each block.

    `place` is what the numbers of the blocks count.
    """

    title: str
    place: str
    blocks: Sequence[int]
    shares: Sequence[float]


def draw_skip_sheet(title: str, ways: Sequence[Decoded], bars: Sequence[Bars]) -> np.ndarray:
    """RGB picture, uint8: a plot of the last outputs' values, maps of the blocks before it, and the bars.

    Panels of 768 x 432 in two columns below a title. All maps of one block have the shades of the first way.
    """
    *depths, last = ways[0].outputs
    panels = [_distribution(ways, last), _maps(ways, depths), *map(_bars, bars)]
    rows = math.ceil(len(panels) / 2)
    sheet = Image.new("RGB", (2 * SIZE[0], _HEAD + rows * SIZE[1]), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((sheet.width / 2, _HEAD / 2), title, fill=INK, font=ImageFont.load_default(18), anchor="mm")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number % 2 * SIZE[0], _HEAD + number // 2 * SIZE[1]))
    return np.asarray(sheet)


def _panel(title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    # the letters that come with Pillow are Latin; names of files may be others
    latin = _NOT_LATIN.sub("?", title)
    draw.text((LEFT, TOP / 2), latin, fill=INK, font=ImageFont.load_default(_TITLE), anchor="lm")
    return image, draw


def _rounded(top: float) -> float:
    """The end of an axis that holds `top` and whose quarters are round."""
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top / 4))
    return 4 * power * next(size for size in _ROUND if 4 * power * size >= top or size == _ROUND[-1])


def _distribution(ways: Sequence[Decoded], block: int) -> Image.Image:
    """How often values come in the last decoder output, and their variance."""
    low, high, shares = densities([way.outputs[block] for way in ways])
    image, draw = _panel(f"values of the last decoder output (block {block})")
    places = np.linspace(low, high, 5)
    ticks = [f"{0.0 if abs(place) < 1e-3 * (high - low) else place:.3g}" for place in places]
    # what is left where all skips are gone may be one peak, which would press the rest to the ground
    top = min(float(np.max(shares)), 3 * float(shares[0].max()))
    axes = Axes(0.0, _rounded(_LEGEND * top), ticks, "value")
    axes.draw(draw)
    parts = (np.arange(len(shares[0])) + 0.5) / len(shares[0])
    font = ImageFont.load_default(_SMALL)
    for number, (way, share) in enumerate(zip(ways, shares, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        draw.line(axes.points(parts, share), fill=colour, width=2, joint="curve")
        y = TOP + 10 + 22 * number
        draw.line([(RIGHT - 270, y), (RIGHT - 246, y)], fill=colour, width=4)
        said = f"{way.name}: variance {variance(way.outputs[block]):.4g}"
        draw.text((RIGHT - 238, y), said, fill=INK, font=font, anchor="lm")
    return image


def _maps(ways: Sequence[Decoded], blocks: Sequence[int]) -> Image.Image:
    """Feature maps, a row for each block and a column for each way."""
    image, draw = _panel("feature maps: root mean square over channels, in the same shades along a row")
    font = ImageFont.load_default(_SMALL)
    side = (SIZE[1] - _MAPS_TOP) // max(1, len(blocks)) - _GAP
    left = (SIZE[0] - len(ways) * (side + _GAP)) // 2 + _GAP
    for row, block in enumerate(blocks):
        y = _MAPS_TOP + row * (side + _GAP)
        limits = _limits(energy(ways[0].outputs[block]))
        draw.text((left - 12, y + side / 2), f"block {block}", fill=INK, font=font, anchor="rm")
        for column, way in enumerate(ways):
            shaded = _fitted(_shaded(energy(way.outputs[block]), limits), side)
            x = left + column * (side + _GAP)
            image.paste(shaded, (x + (side - shaded.width) // 2, y + (side - shaded.height) // 2))
    for column, way in enumerate(ways):
        x = left + column * (side + _GAP) + side / 2
        draw.text((x, _MAPS_TOP - 11), way.name, fill=INK, font=font, anchor="mm")
    return image


def _fitted(picture: np.ndarray, side: int) -> Image.Image:
    """A picture whose longer side is this long; small ones keep their pixels apart."""
    scale = side / max(picture.shape[:2])
    size = (max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0])))
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return Image.fromarray(picture).resize(size, kind)


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99]).tolist() if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low, low + 1.0)


def _shaded(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """A map as an RGB picture."""
    low, high = limits
    places = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    steps = np.linspace(0, 1, len(_SHADES))
    picture = np.stack([np.interp(places, steps, channel) for channel in _SHADES.T], -1)
    picture[~np.isfinite(values)] = _NONE
    return picture.round().astype(np.uint8)


def _bars(bars: Bars) -> Image.Image:
    """A bar for each block: by how many percent the picture is moved."""
    image, draw = _panel(bars.title)
    percents = 100 * np.array(bars.shares, float)
    top = max(percents[np.isfinite(percents)].tolist(), default=0.0)
    ticks = ["", *map(str, bars.blocks), ""]
    axes = Axes(0.0, _rounded(1.08 * top), ticks, f"{bars.place}; % by which the picture moves")
    axes.draw(draw)
    font = ImageFont.load_default(_SMALL)
    half = 0.38 * (RIGHT - LEFT) / (len(ticks) - 1)
    for (x, y), percent in _tops(axes, percents):
        if math.isfinite(percent):
            draw.rectangle([x - half, min(y, BOTTOM - 1), x + half, BOTTOM - 1], fill=_COLOURS[0])
        said = f"{percent:.{1 if percent >= 10 else 2}f}" if math.isfinite(percent) else "no number"
        draw.text((x, y - 3), said, fill=INK, font=font, anchor="mb")
    return image


def _tops(axes: Axes, percents: np.ndarray) -> Iterator[tuple[tuple[float, float], float]]:
    """Where each bar ends, and what it says."""
    parts = np.arange(1, len(percents) + 1) / (len(percents) + 1)
    return zip(axes.points(parts, np.nan_to_num(percents)), percents.tolist(), strict=True)
