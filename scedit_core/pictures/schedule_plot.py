"""A schedule as a picture, with the steps of a sampling marked on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..curve import Curve
from .axes import BOTTOM, INK, SIZE, TOP, Axes

_LINE, _STEP, _UNHEARD = (30, 90, 200), (165, 165, 165), (205, 60, 40)
_ROUND = (0.25, 0.5, 1, 2.5, 5, 10)
_MOST_NUMBERED = 20  # steps; the numbers of more would run into each other
_MOST_LINES = 100  # for steps; more would be one grey field
_APART = 15  # pixels between two numbers


def plot_schedule(
    curve: Curve, steps: Sequence[float] = (), unheard: Sequence[tuple[float, float]] = ()
) -> np.ndarray:
    """RGB picture (432, 768, 3), uint8: factors over the parts of the denoising 0..1.

    Each of `steps` is a line, with a dot at the factor that it hears; points that none hears are ringed.
    """
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    axes = Axes(*_bounds(curve), ["0", "0.25", "0.5", "0.75", "1"], "part of the denoising")
    axes.draw(draw)
    places, factors = np.array([*steps]), np.array([curve.at(step) for step in steps])
    dots = axes.points(places, factors)
    for x, _ in dots if len(dots) <= _MOST_LINES else ():
        draw.line([(x, TOP), (x, BOTTOM - 1)], fill=_STEP)
    _number(draw, [x for x, _ in dots])
    draw.line(_corners(curve, axes), fill=_LINE, width=3, joint="curve")
    _circles(draw, dots, 4, fill=_LINE, outline="white")
    rings = np.array(unheard).reshape(-1, 2)
    _circles(draw, axes.points(rings[:, 0], rings[:, 1]), 7, fill=None, outline=_UNHEARD, width=2)
    return np.asarray(image)


def _bounds(curve: Curve) -> tuple[float, float]:
    """From 0 or less to 1 or more, in four parts of a round size."""
    factors = [factor for _, factor in curve.points]
    low, high = min(0.0, *factors), max(1.0, *factors)
    bottoms = [(size, math.floor(low / size) * size) for size in _ROUND]
    size, bottom = next(each for each in bottoms if each[1] + 4 * each[0] >= high)
    return bottom, bottom + 4 * size


def _corners(curve: Curve, axes: Axes) -> list[tuple[float, float]]:
    """The curve's points, held to both ends of the axis."""
    first, last = curve.points[0], curve.points[-1]
    points = np.array([(0.0, first[1]), *curve.points, (1.0, last[1])])
    return axes.points(points[:, 0], points[:, 1])


def _number(draw: ImageDraw.ImageDraw, places: Sequence[float]) -> None:
    """Number the steps above the field, as far as there is room for it."""
    if len(places) > _MOST_NUMBERED:
        return
    font, last = ImageFont.load_default(12), -_APART
    for number, x in enumerate(places, 1):
        if x - last >= _APART:
            draw.text((x, TOP - 4), str(number), fill=INK, font=font, anchor="mb")
            last = x


def _circles(
    draw: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], radius: int, **look: Any
) -> None:
    for x, y in places:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], **look)
