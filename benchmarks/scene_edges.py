"""Edges of the sandbox's scenes as the paper draws them for training."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_edges(scene: Any, rng: np.random.Generator) -> np.ndarray:
    """Canny at random thresholds, uint8 `(H, W, 3)`; the pack has to be loaded as `scedit_pack`."""
    from scedit_pack.scedit_core.annotators.drawn.canny import canny

    return canny(scene.picture, int(rng.integers(50, 101)), int(rng.integers(200, 351)))
