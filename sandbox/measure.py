"""How far a picture follows a control: the pack's own figures, and one that only this world can have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

if "scedit_core" not in sys.modules:  # last: the repository's `nodes` must not hide ComfyUI's
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from scedit_core.evaluation import measures
from scedit_core.evaluation.measures import edge_f1, edges, kept_error, style_distance

__all__ = ["RATIO", "color_error", "edge_f1", "edges", "kept_error", "named_error", "style_distance"]

# Side of a colour block: 8 x 8 of them in a picture of 256 pixels, as the paper's have in one of 512
RATIO = 32


def color_error(result: np.ndarray, wanted: np.ndarray, ratio: int = RATIO) -> float:
    """Mean absolute difference of the colour maps of two pictures, in levels of 255."""
    return measures.color_error(result, wanted, ratio)


def named_error(picture: np.ndarray, places: Sequence[tuple[np.ndarray, Sequence[int]]]) -> float:
    """How far colours are from those that a caption names, in levels of 255.

    Of each place, bool `(H, W)`, the mean absolute difference of its median colour from the named one.
    """
    return float(np.mean([np.abs(np.median(picture[place], 0) - wanted).mean() for place, wanted in places]))
