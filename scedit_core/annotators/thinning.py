"""Strokes made one pixel wide: Zhang and Suen, "A fast parallel algorithm for thinning digital patterns"."""

from __future__ import annotations

import numpy as np

# rows and columns to each neighbour of a pixel, clockwise from the one above
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def _removable(first: tuple[int, int, int], second: tuple[int, int, int]) -> np.ndarray:
    """For each of the 256 neighbourhoods, whether its middle may go; both triples need a gap."""
    around = (np.arange(256)[:, None] >> np.arange(8)) & 1  # (256, 8), clockwise from above
    count = around.sum(1)
    steps_up = ((around == 0) & (np.roll(around, -1, axis=1) == 1)).sum(1)
    has_gaps = (around[:, first].prod(1) == 0) & (around[:, second].prod(1) == 0)
    return (count >= 2) & (count <= 6) & (steps_up == 1) & has_gaps


def thinned(marks: np.ndarray) -> np.ndarray:
    """Marks `(H, W)`, uint8, 1 or 0, worn down from all sides to lines of one pixel; nothing falls apart."""
    above, right, below, left = 0, 2, 4, 6
    passes = (
        _removable((above, right, below), (right, below, left)),
        _removable((above, right, left), (above, below, left)),
    )
    framed = np.pad(marks, 1)
    steps = [row * framed.shape[1] + column for row, column in _AROUND]
    pixels = framed.reshape(-1)
    inked = np.flatnonzero(pixels)  # only these are looked at: lines cover little of a picture
    while True:
        before = len(inked)
        for removable in passes:
            code = np.zeros(len(inked), np.uint8)
            for bit, step in enumerate(steps):
                code |= pixels[inked + step] << bit
            goes = removable[code]
            pixels[inked[goes]] = 0
            inked = inked[~goes]
        if len(inked) == before:
            return framed[1:-1, 1:-1]
