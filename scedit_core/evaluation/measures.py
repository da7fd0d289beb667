"""How far a picture follows a hint or comes near a style: plain figures on uint8 RGB pictures `(H, W, 3)`.

After the protocol of ControlNet++ (arXiv 2404.07987, Section 4.1): the condition is found again in the
result, and compared with the hint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..annotators.nets.segmentation import PALETTE
from ..annotators.opencv import load_opencv

__all__ = [
    "block_error",
    "clip_score",
    "color_error",
    "depth_rmse",
    "edge_f1",
    "edges",
    "hint_lines",
    "kept_error",
    "kept_part",
    "mean_iou",
    "structural_similarity",
    "style_distance",
]

TOLERANCE = 3  # pixels
_THRESHOLDS = (100, 200)  # of the published canny controls
_BLACK = 2  # of 255: what is no brighter is cut out of a masked image
# MS-SSIM (Wang, Simoncelli and Bovik, 2003): the weights of five scales, window and constants of SSIM
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def edges(picture: np.ndarray) -> np.ndarray:
    """Canny edges, bool `(H, W)`, at the thresholds of the published controls: 100 and 200."""
    return load_opencv().Canny(np.ascontiguousarray(picture), *_THRESHOLDS) > 0


def hint_lines(hint: np.ndarray) -> np.ndarray:
    """The lines of a hint, bool `(H, W)`: white on black or black on white, what there is less of."""
    bright = hint.mean(-1) > 127
    return bright if bright.mean() <= 0.5 else ~bright


def edge_f1(result: np.ndarray, lines: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F1 of a picture's canny edges against lines, bool `(H, W)`: 0 to 1, 1 is best.

    What lies within `tolerance` pixels of the other counts as found; 0 is exact. 0 if one has edges and the
    other none.
    """
    found = edges(result)
    if not found.any() or not lines.any():
        return float(found.any() == lines.any())
    precision = _near(lines, tolerance)[found].mean()
    recall = _near(found, tolerance)[lines].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _near(lines: np.ndarray, tolerance: float) -> np.ndarray:
    """Pixels within the tolerance of a line."""
    cv2 = load_opencv()
    distance = cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= tolerance


def color_error(result: np.ndarray, wanted: np.ndarray, ratio: int = 64) -> float:
    """Mean absolute difference of two pictures in blocks of ratio x ratio pixels: 0 to 255, 0 is best."""
    height, width = result.shape[:2]
    return _apart(result, wanted, (max(1, width // ratio), max(1, height // ratio)))


def block_error(result: np.ndarray, hint: np.ndarray) -> float:
    """`color_error` of a picture against a hint of colour blocks, in the blocks that the hint has."""
    across = 1 + int((hint[:, 1:] != hint[:, :-1]).any((0, 2)).sum())
    down = 1 + int((hint[1:] != hint[:-1]).any((1, 2)).sum())
    height, width = hint.shape[:2]
    if across > width // 4 or down > height // 4:  # a hint that was scaled, or is a photo
        return color_error(result, hint)
    return _apart(result, hint, (across, down))


def _apart(result: np.ndarray, wanted: np.ndarray, size: tuple[int, int]) -> float:
    """Mean absolute difference of two pictures at this width and height."""
    cv2 = load_opencv()
    small = [
        cv2.resize(np.ascontiguousarray(one), size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        for one in (result, wanted)
    ]
    return float(np.abs(small[0] - small[1]).mean())


def kept_part(hint: np.ndarray) -> np.ndarray:
    """What a masked image shows of its picture, bool `(H, W)`: all that is not black."""
    return hint.max(-1) > _BLACK


def kept_error(result: np.ndarray, wanted: np.ndarray, kept: np.ndarray) -> float:
    """Mean absolute difference where `kept`, bool `(H, W)`: 0 to 255, 0 is best; 0 if nothing is kept."""
    if not kept.any():
        return 0.0
    return float(np.abs(result.astype(np.float32) - wanted)[kept].mean())


def structural_similarity(found: np.ndarray, hint: np.ndarray) -> float:
    """MS-SSIM of two grey pictures, such as HED edges found again: 0 to 1, 1 is best.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity", 2003, with as many of its five scales as
    leave room for a window of 11 pixels.
    """
    cv2 = load_opencv()
    first, second = (one.astype(np.float64).mean(-1) for one in (found, hint))
    count = max(1, sum(min(first.shape) >> scale >= _WINDOW for scale in range(len(_SCALES))))
    weights = np.array(_SCALES[:count]) / sum(_SCALES[:count])
    similarity = 1.0
    for scale, weight in enumerate(weights):
        luminance, structure = _ssim_parts(first, second)
        part = luminance * structure if scale == count - 1 else structure
        similarity *= max(0.0, float(part.mean())) ** weight
        size = (max(1, first.shape[1] // 2), max(1, first.shape[0] // 2))
        first, second = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (first, second))
    return similarity


def _ssim_parts(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM's term of luminance, and that of contrast and structure, of each pixel."""
    one, other = _around(first), _around(second)
    spread = _around(first * first) - one * one + _around(second * second) - other * other
    shared = _around(first * second) - one * other
    luminance = (2 * one * other + _C1) / (one * one + other * other + _C1)
    return luminance, (2 * shared + _C2) / (spread + _C2)


def _around(values: np.ndarray) -> np.ndarray:
    """The mean around each pixel, in SSIM's window."""
    return load_opencv().GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA)


def depth_rmse(found: np.ndarray, hint: np.ndarray) -> float:
    """Root mean square difference of two depth maps: 0 to 255, 0 is best."""
    return float(np.sqrt(np.square(found.astype(np.float32) - hint).mean()))


def mean_iou(found: np.ndarray, hint: np.ndarray) -> float:
    """Intersection over union of the classes that a hint in ADE20K's colours shows, their mean: 0 to 1.

    A colour between two classes, as scaling makes it, counts as the nearer one.
    """
    first, second = _classes(found), _classes(hint)
    shares = [
        ((first == one) & (second == one)).sum() / ((first == one) | (second == one)).sum()
        for one in np.unique(second)
    ]
    return float(np.mean(shares))


def _classes(picture: np.ndarray) -> np.ndarray:
    """The class whose colour is nearest, of each pixel `(H, W)`."""
    colours, places = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    steps = colours[:, None].astype(np.int32) - PALETTE[None].astype(np.int32)  # (colours, 150, 3)
    return np.square(steps).sum(-1).argmin(1)[places].reshape(picture.shape[:2])


def style_distance(pictures: Sequence[np.ndarray], style: Sequence[np.ndarray]) -> float:
    """Distance of two sets of pictures in colour and texture, each statistic in levels of 255; 0 is best.

    The statistics: mean and standard deviation of the three Lab channels, and mean step between neighbouring
    pixels, averaged over each set; the distance is the root mean square of their differences.
    """
    one, other = (np.mean([_statistics(picture) for picture in group], 0) for group in (pictures, style))
    return float(np.sqrt(np.square(one - other).mean()))


def clip_score(picture: np.ndarray, text: np.ndarray) -> float:
    """How near a CLIP's embeddings `(D,)` of a picture and of a text are: 0 to 100, 100 is nearest.

    Hessel et al., "CLIPScore", arXiv 2104.08718, as torchmetrics reports it: without their factor of 2.5.
    """
    lengths = float(np.linalg.norm(picture) * np.linalg.norm(text))
    return max(100 * float(picture @ text) / max(lengths, 1e-12), 0.0)


def _statistics(picture: np.ndarray) -> np.ndarray:
    cv2 = load_opencv()
    lab = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2LAB).astype(np.float32)
    step = np.mean([np.abs(np.diff(lab[..., 0], axis=axis)).mean() for axis in (0, 1)])
    return np.array([*lab.mean((0, 1)), *lab.std((0, 1)), step], np.float32)
