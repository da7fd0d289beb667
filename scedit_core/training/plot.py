"""The losses of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIZE = (768, 432)
_MARGIN = (72, 24, 24, 44)  # left, top, right, bottom
_INK, _GRID, _FAINT, _LINE = (40, 40, 40), (225, 225, 225), (190, 205, 235), (30, 90, 200)
_SMOOTHING = 40  # the curve averages over about a fortieth of the run


def plot_losses(losses: Sequence[float]) -> np.ndarray:
    """RGB picture (432, 768, 3), uint8: every step's loss, faint, and a running mean over it."""
    image = Image.new("RGB", _SIZE, "white")
    if not losses:
        return np.asarray(image)
    draw = ImageDraw.Draw(image)
    values, smooth = np.asarray(losses), smoothed(losses)
    low, high = _bounds(values, smooth)
    _draw_axes(draw, low, high, len(values))
    for curve, ink, width in ((values, _FAINT, 1), (smooth, _LINE, 2)):
        points = _points(curve, low, high)
        draw.line(points * 2 if len(points) == 1 else points, fill=ink, width=width, joint="curve")
    draw.text((_MARGIN[0] + 8, 4), f"mean loss {smooth[-1]:.4f}", fill=_INK, font=ImageFont.load_default(14))
    return np.asarray(image)


def smoothed(losses: Sequence[float]) -> np.ndarray:
    """Running mean of the losses: exponential, without a pull towards 0 at the start."""
    decay = 1 - 1 / max(1.0, len(losses) / _SMOOTHING)
    total, weight, out = 0.0, 0.0, []
    for loss in losses:
        total, weight = decay * total + loss, decay * weight + 1
        out.append(total / weight)
    return np.asarray(out)


def _bounds(values: np.ndarray, smooth: np.ndarray) -> tuple[float, float]:
    """Range shown: the whole running mean, and the single losses without outliers."""
    low = min(float(np.percentile(values, 1)), float(smooth.min()))
    high = max(float(np.percentile(values, 97)), float(smooth.max()))
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _points(values: np.ndarray, low: float, high: float) -> list[tuple[float, float]]:
    left, top, right, bottom = _box()
    x = np.linspace(left, right, len(values)) if len(values) > 1 else np.asarray([left])
    y = bottom - (np.clip(values, low, high) - low) / (high - low) * (bottom - top)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _draw_axes(draw: ImageDraw.ImageDraw, low: float, high: float, steps: int) -> None:
    left, top, right, bottom = _box()
    font = ImageFont.load_default(13)
    for part in np.linspace(0, 1, 5):
        y = bottom - part * (bottom - top)
        draw.line([(left, y), (right, y)], fill=_GRID)
        draw.text((left - 8, y), f"{low + part * (high - low):.3g}", fill=_INK, font=font, anchor="rm")
        x = left + part * (right - left)
        draw.text((x, bottom + 8), f"{round(part * steps)}", fill=_INK, font=font, anchor="ma")
    for a, b in pairwise([(left, top), (left, bottom), (right, bottom)]):
        draw.line([a, b], fill=_INK)
    draw.text(((left + right) / 2, bottom + 24), "step", fill=_INK, font=font, anchor="ma")


def _box() -> tuple[float, float, float, float]:
    left, top, right, bottom = _MARGIN
    return left, top, _SIZE[0] - right, _SIZE[1] - bottom
