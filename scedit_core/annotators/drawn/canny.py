"""Canny edges, white on black."""

from __future__ import annotations

import numpy as np
from einops import repeat

from ..opencv import load_opencv


def canny(image: np.ndarray, low: int = 100, high: int = 200) -> np.ndarray:
    """Edges of an RGB image, uint8 `(H, W, 3)` to the same; thresholds as the published controllers'."""
    edges = load_opencv().Canny(image, low, high)
    return repeat(edges, "h w -> h w 3")
