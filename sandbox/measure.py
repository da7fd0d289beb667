"""How far a picture follows a control: plain figures on uint8 RGB pictures `(H, W, 3)`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ["RATIO", "color_error", "edge_f1", "edges", "kept_error", "named_error", "style_distance"]

TOLERANCE = 3  # pixels
# Side of a colour block: 8 x 8 of them in a picture of 256 pixels, as the paper's have in one of 512
RATIO = 32


def edges(picture: np.ndarray) -> np.ndarray:
    """Canny edges, bool `(H, W)`, at the thresholds of the published controls."""
    return cv2.Canny(np.ascontiguousarray(picture), 100, 200) > 0


def edge_f1(result: np.ndarray, hint: np.ndarray) -> float:
    """F1 of the result's edges against an edge map, bool `(H, W)`: an edge within 3 pixels counts as found.

    0 if one has edges and the other none.
    """
    found = edges(result)
    if not found.any() or not hint.any():
        return float(found.any() == hint.any())
    precision = _near(hint)[found].mean()
    recall = _near(found)[hint].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _near(lines: np.ndarray) -> np.ndarray:
    """Pixels within the tolerance of a line."""
    distance = cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= TOLERANCE


def color_error(result: np.ndarray, wanted: np.ndarray, ratio: int = RATIO) -> float:
    """Mean absolute difference of the colour maps of two pictures, in levels of 255."""
    return float(np.abs(_blocks(result, ratio) - _blocks(wanted, ratio)).mean())


def _blocks(picture: np.ndarray, ratio: int) -> np.ndarray:
    height, width = picture.shape[:2]
    size = (max(1, width // ratio), max(1, height // ratio))
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_CUBIC).astype(np.float32)


def kept_error(result: np.ndarray, wanted: np.ndarray, kept: np.ndarray) -> float:
    """Mean absolute difference where `kept`, bool `(H, W)`, in levels of 255."""
    return float(np.abs(result.astype(np.float32) - wanted)[kept].mean())


def named_error(picture: np.ndarray, places: Sequence[tuple[np.ndarray, Sequence[int]]]) -> float:
    """How far colours are from those that a caption names, in levels of 255.

    Of each place, bool `(H, W)`, the mean absolute difference of its median colour from the named one.
    """
    return float(np.mean([np.abs(np.median(picture[place], 0) - wanted).mean() for place, wanted in places]))


def style_distance(pictures: Sequence[np.ndarray], style: Sequence[np.ndarray]) -> float:
    """Distance of two sets of pictures in colour and texture, each statistic in levels of 255.

    The statistics: mean and standard deviation of the three Lab channels, and mean step between neighbouring
    pixels, averaged over each set; the distance is the root mean square of their differences.
    """
    one, other = (np.mean([_statistics(picture) for picture in group], 0) for group in (pictures, style))
    return float(np.sqrt(np.square(one - other).mean()))


def _statistics(picture: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2LAB).astype(np.float32)
    step = np.mean([np.abs(np.diff(lab[..., 0], axis=axis)).mean() for axis in (0, 1)])
    return np.array([*lab.mean((0, 1)), *lab.std((0, 1)), step], np.float32)
