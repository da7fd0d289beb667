"""Drawings and scans as the white lines on black that canny controllers follow."""

from __future__ import annotations

import numpy as np
from einops import repeat

from ...errors import SCEditError
from ..opencv import load_opencv
from .thinning import thinned

AUTO, DARK, LIGHT = "auto", "dark on light", "light on dark"
LINES = (AUTO, DARK, LIGHT)

_PAPER_SIZE = 96  # pixels of the short side at which the paper's brightness is looked for
_LARGEST_AREA = 32  # of these pixels: what is larger than this, in both directions, is paper
_DARKEST_PAPER = 64.0  # of 255: darker paper counts as this dark, or its grain would count as lines
_FAINTEST = 0.12  # contrast of the strongest lines below which a page counts as empty
_WIDEST = 1 / 32  # of the short side: what is wider is an area, drawn by its outline
_HALF = 0.45  # of the ink beside it: where a line's soft border is cut
_SPECK = 0.008  # of the short side: what is smaller, in both directions, is dirt


def sketch(image: np.ndarray, threshold: float = 0.3, lines: str = AUTO, *, thin: bool = True) -> np.ndarray:
    """White lines on black from a drawing or scan, RGB uint8 `(H, W, 3)` to the same.

    `threshold`, above 0 and at most 1, is how strong a line must be beside the strongest of the drawing; what
    is half as strong counts where it continues one. `lines` says which of LINES they are. `thin` draws them
    one pixel wide. Raises SCEditError for other settings.
    """
    if lines not in LINES:
        raise SCEditError(f"lines is one of {', '.join(LINES)}, got '{lines}'; choose one of them")
    if not 0 < threshold <= 1:
        raise SCEditError(f"threshold is above 0 and at most 1, got {threshold}; use 0.3")
    ink = _ink(_brightness(image), lines)
    marks = _outlined(_joined(ink, threshold))
    return repeat((thinned(marks) if thin else marks) * np.uint8(255), "h w -> h w 3")


def _brightness(image: np.ndarray) -> np.ndarray:
    """Float32 `(H, W)`, 0..255, without the grain of paper and scanner."""
    cv2 = load_opencv()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey, (0, 0), max(0.6, min(grey.shape) / 700)).astype(np.float32)


def _ink(grey: np.ndarray, lines: str) -> np.ndarray:
    """How far each pixel stands out from the paper around it: 0 is paper, 1 the strongest lines."""
    cv2 = load_opencv()
    height, width = grey.shape
    scale = min(1.0, _PAPER_SIZE / min(grey.shape))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    is_dark = lines == DARK or (lines == AUTO and _has_dark_lines(small))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_LARGEST_AREA, _LARGEST_AREA))
    slope = _slope(small)  # taken out first: what rises towards a border would be levelled there
    paper = slope + cv2.morphologyEx(small - slope, cv2.MORPH_CLOSE if is_dark else cv2.MORPH_OPEN, kernel)
    paper = cv2.resize(cv2.GaussianBlur(paper, (0, 0), 1.5), (width, height), interpolation=cv2.INTER_LINEAR)
    if is_dark:  # light falls on paper and lines alike: their ratio does not depend on it
        ink = np.clip(paper - grey, 0, None) / np.maximum(paper, _DARKEST_PAPER)
    else:
        ink = np.clip(grey - paper, 0, None) / 255
    return ink / max(float(np.percentile(ink, 99.9)), _FAINTEST)


def _slope(small: np.ndarray) -> np.ndarray:
    """The plane that lies closest to the brightness of a page lit from one side."""
    rows, columns = np.indices(small.shape)
    places = np.stack([rows, columns, np.ones_like(rows)], axis=-1).reshape(-1, 3).astype(np.float32)
    factors = np.linalg.lstsq(places, small.reshape(-1), rcond=None)[0]
    return (places @ factors).reshape(small.shape)


def _has_dark_lines(small: np.ndarray) -> bool:
    """Whether what is rare around it is darker: lines cover less than paper does."""
    cv2 = load_opencv()
    skewness = 0.0
    for radius in (_LARGEST_AREA / 8, _LARGEST_AREA / 2):  # of lines, and of areas
        apart = small - cv2.GaussianBlur(small, (0, 0), radius)
        skewness += float(np.mean(apart**3)) / (float(np.mean(apart**2)) ** 1.5 + 1e-6)
    return skewness <= 0


def _joined(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Marks, 1 or 0, that are strong enough somewhere and larger than a speck."""
    cv2 = load_opencv()
    reach = 2 * max(1, round(0.004 * min(ink.shape))) + 1
    beside = cv2.dilate(ink, np.ones((reach, reach), np.uint8))
    marks = ink >= np.maximum(threshold / 2, _HALF * np.minimum(beside, 1))
    labels, boxes = _components(marks)
    is_line = np.zeros(len(boxes), bool)
    is_line[labels[ink >= threshold]] = True
    is_line &= boxes.max(axis=1) > _SPECK * min(ink.shape)
    is_line[0] = False  # the paper
    return is_line[labels].astype(np.uint8)


def _outlined(marks: np.ndarray) -> np.ndarray:
    """The same marks, with the inside of wide areas taken out."""
    cv2 = load_opencv()
    radius = max(2.5, _WIDEST * min(marks.shape) / 2)
    depth = cv2.distanceTransform(marks, cv2.DIST_L2, 3)
    # a stroke whose width varies a little is an area from end to end, or nowhere
    labels, boxes = _components(depth > 0.75 * radius)
    is_area = np.zeros(len(boxes), bool)
    is_area[labels[depth > radius]] = True
    core = is_area[labels]
    if not core.any():
        return marks
    from_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 3)
    inside = cv2.erode(marks, np.ones((3, 3), np.uint8))
    inside[from_core > radius + 1] = 0
    return marks & ~inside


def _components(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the connected mark that each pixel belongs to, 0 for none, and width and height of each."""
    cv2 = load_opencv()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks.astype(np.uint8), connectivity=8)
    return labels, stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
