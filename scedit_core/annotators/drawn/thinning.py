"""Strokes made one pixel wide: Zhang and Suen, "A fast parallel algorithm for thinning digital patterns"."""

from __future__ import annotations

import numpy as np

from ..opencv import load_opencv

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
    """Marks `(H, W)`, uint8, 1 or 0, worn down from all sides to lines of one pixel; nothing falls apart.

    A pass decides by a pixel's neighbours alone, so it looks only at pixels of which some neighbour went
    since it looked last; at first, at all that have a neighbour without ink.
    """
    above, right, below, left = 0, 2, 4, 6
    passes = (
        _removable((above, right, below), (right, below, left)),
        _removable((above, right, left), (above, below, left)),
    )
    framed = np.pad(marks, 1)
    inside = load_opencv().erode(framed, np.ones((3, 3), np.uint8))
    pixels = framed.reshape(-1)
    steps = [row * framed.shape[1] + column for row, column in _AROUND]
    waiting = [np.flatnonzero(framed - inside)] * 2  # what each pass has to look at
    while len(waiting[0]) or len(waiting[1]):
        for turn, removable in enumerate(passes):
            code = np.zeros(len(waiting[turn]), np.uint8)
            for bit, step in enumerate(steps):
                code |= pixels[waiting[turn] + step] << bit
            gone = waiting[turn][removable[code]]
            pixels[gone] = 0
            waiting[turn] = _inked(pixels, [gone + step for step in steps])
            waiting[1 - turn] = _inked(pixels, [waiting[1 - turn], waiting[turn]])
    return framed[1:-1, 1:-1]


def _inked(pixels: np.ndarray, lists: list[np.ndarray]) -> np.ndarray:
    """Places that some lists name and that have ink, each once; no list names one twice."""
    found = []
    for places in lists:
        new = places[pixels[places] == 1]
        pixels[new] = 2  # seen
        found.append(new)
    together = np.concatenate(found)
    pixels[together] = 1
    return together
