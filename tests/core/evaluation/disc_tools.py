"""Pictures for the tests of figures."""

from __future__ import annotations

import cv2
import numpy as np


def discs(seed: int, side: int = 160) -> np.ndarray:
    """Discs where chance puts them, none of them at the border: uint8 `(side, side, 3)`."""
    draw, drawn = np.random.default_rng(seed), np.zeros((side, side, 3), np.uint8)
    for _ in range(6):
        place, radius = draw.integers(40, side - 40, 2).tolist(), int(draw.integers(5, 20))
        cv2.circle(drawn, place, radius, draw.integers(60, 256, 3).tolist(), -1)
    return drawn
