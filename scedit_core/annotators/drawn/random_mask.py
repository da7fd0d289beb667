"""Random masks by the strategy that LaMa was trained and tested with: irregular strokes, and boxes.

Source: github.com/advimman/lama, `saicinpainting/training/data/masks.py` (MixedMaskGenerator), with the
numbers of `configs/training/data/abl-04-256-mh-dist.yaml` ("training", the mix of all its models) and of
`configs/data_gen/random_{thin,medium,thick}_512.yaml` (its test masks). Lengths there are pixels of a 256 or
512 pixel crop; here they grow with the picture's short side, so that a mask covers as much at any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import SCEditError
from ..opencv import load_opencv

_MOST_TRIES = 100
_BENDS = 5  # a stroke has up to five straight pieces
_SHORTEST, _THINNEST = 10, 5  # pixels added to the length and width of every piece of a stroke


@dataclass(frozen=True)
class Strokes:
    """Brush strokes: how many (both ends included), and the greatest length and width of a piece."""

    fewest: int
    most: int
    length: int
    width: int


@dataclass(frozen=True)
class Boxes:
    """Boxes: how many (both ends included), their sides, and what stays free along the picture's border."""

    fewest: int
    most: int
    smallest: int
    largest: int
    margin: int


@dataclass(frozen=True)
class MaskStyle:
    """What masks of one kind are made of. Sizes are pixels of a square of `side` pixels.

    `box_share` is the share of masks that are of boxes; all others are of strokes. Masks that cover more than
    `most_area` of the picture are drawn again.
    """

    side: int
    strokes: Strokes
    boxes: Boxes
    box_share: float
    most_area: float = 1.0


# LaMa draws one stroke more than max_times, since its ramp adds one
MASK_STYLES: Mapping[str, MaskStyle] = {
    "training": MaskStyle(256, Strokes(1, 6, 200, 100), Boxes(1, 4, 30, 150, 10), 1 / 2),
    "thin": MaskStyle(512, Strokes(4, 71, 100, 20), Boxes(0, 0, 30, 100, 10), 0.0, 0.5),
    "medium": MaskStyle(512, Strokes(4, 11, 200, 100), Boxes(1, 5, 30, 150, 0), 0.3 / 1.3, 0.5),
    "thick": MaskStyle(512, Strokes(1, 6, 450, 250), Boxes(1, 4, 30, 300, 10), 0.3 / 1.3, 0.5),
}


def random_mask(height: int, width: int, draw: np.random.Generator, style: str = "training") -> np.ndarray:
    """A mask `(height, width)`, uint8, 255 where something new is to be made, else 0.

    The same generator state gives the same mask. Raises SCEditError for an unknown style or an empty size.
    """
    if style not in MASK_STYLES:
        known = ", ".join(MASK_STYLES)
        raise SCEditError(f"the style of a random mask is one of {known}, got '{style}'; choose one of them")
    if height < 1 or width < 1:
        raise SCEditError(f"a mask has at least one pixel, got {width} x {height}; make both sides 1 or more")
    chosen = MASK_STYLES[style]
    tries = (_once(height, width, draw, chosen) for _ in range(_MOST_TRIES))
    smallest = None
    for mask in tries:
        if np.count_nonzero(mask) <= chosen.most_area * mask.size:
            return mask
        if smallest is None or np.count_nonzero(mask) < np.count_nonzero(smallest):
            smallest = mask
    return np.zeros((height, width), np.uint8) if smallest is None else smallest


def _once(height: int, width: int, draw: np.random.Generator, style: MaskStyle) -> np.ndarray:
    """One mask, whatever it covers."""
    mask = np.zeros((height, width), np.uint8)
    scale = min(height, width) / style.side
    if draw.random() < style.box_share:
        _draw_boxes(mask, draw, style.boxes, scale)
    else:
        _draw_strokes(mask, draw, style.strokes, scale)
    return mask


def _draw_strokes(mask: np.ndarray, draw: np.random.Generator, strokes: Strokes, scale: float) -> None:
    """Bent strokes of random lengths and widths; every second one turns the other way."""
    cv2 = load_opencv()
    height, width = mask.shape
    for number in range(draw.integers(strokes.fewest, strokes.most + 1)):
        start = (int(draw.integers(width)), int(draw.integers(height)))
        for _ in range(draw.integers(1, _BENDS + 1)):
            angle = 0.01 + draw.integers(4)  # radians: 0.01, 1.01, 2.01 or 3.01
            if number % 2 == 0:
                angle = 2 * np.pi - angle
            length = scale * (_SHORTEST + draw.integers(strokes.length))
            brush = max(1, round(scale * (_THINNEST + draw.integers(strokes.width))))
            x = np.clip(start[0] + length * np.sin(angle), 0, width)
            y = np.clip(start[1] + length * np.cos(angle), 0, height)
            end = (int(x), int(y))
            cv2.line(mask, start, end, 255, brush)
            start = end


def _draw_boxes(mask: np.ndarray, draw: np.random.Generator, boxes: Boxes, scale: float) -> None:
    """Upright boxes that keep the margin where the picture leaves room for one."""
    for _ in range(draw.integers(boxes.fewest, boxes.most + 1)):
        rows, columns = (_box_side(side, draw, boxes, scale) for side in mask.shape)
        mask[rows, columns] = 255


def _box_side(side: int, draw: np.random.Generator, boxes: Boxes, scale: float) -> slice:
    """Where a box lies along one side of the picture; at least one pixel."""
    margin = round(scale * boxes.margin)
    room = max(1, side - 2 * margin)
    extent = min(room, max(1, round(scale * draw.integers(boxes.smallest, boxes.largest + 1))))
    start = min(margin, side - 1) + int(draw.integers(room - extent + 1))
    return slice(start, start + extent)
