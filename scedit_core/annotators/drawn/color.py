"""Colour blocks: the palette of an image without its shapes."""

from __future__ import annotations

import numpy as np

from ..opencv import load_opencv


def color(image: np.ndarray, ratio: int = 64) -> np.ndarray:
    """Blocks of ratio x ratio pixels, uint8 RGB `(H, W, 3)` to the same; published controllers: 64."""
    cv2 = load_opencv()
    height, width = image.shape[:2]
    blocks = (max(1, width // ratio), max(1, height // ratio))
    small = cv2.resize(image, blocks, interpolation=cv2.INTER_CUBIC)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
