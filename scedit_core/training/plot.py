"""The losses of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..pictures.axes import INK, LEFT, SIZE, Axes

_FAINT, _LINE = (190, 205, 235), (30, 90, 200)
_SMOOTHING = 40  # the curve averages over about a fortieth of the run


def plot_losses(losses: Sequence[float]) -> np.ndarray:
    """RGB picture (432, 768, 3), uint8: every step's loss, faint, and a running mean over it."""
    image = Image.new("RGB", SIZE, "white")
    if not losses:
        return np.asarray(image)
    draw = ImageDraw.Draw(image)
    values, smooth = np.asarray(losses), smoothed(losses)
    ticks = [f"{round(part * len(values))}" for part in np.linspace(0, 1, 5)]
    axes = Axes(*_bounds(values, smooth), ticks, "step")
    axes.draw(draw)
    for curve, ink, width in ((values, _FAINT, 1), (smooth, _LINE, 2)):
        parts = np.linspace(0, 1, len(curve)) if len(curve) > 1 else np.zeros(1)
        points = axes.points(parts, curve)
        draw.line(points * 2 if len(points) == 1 else points, fill=ink, width=width, joint="curve")
    draw.text((LEFT + 8, 4), f"mean loss {smooth[-1]:.4f}", fill=INK, font=ImageFont.load_default(14))
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
