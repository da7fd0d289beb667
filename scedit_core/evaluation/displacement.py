"""Whether what was found lies in another place than the hint has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..annotators.opencv import load_opencv

Shift = tuple[int, int]  # pixels to the right and down

_REACH = 8  # the part of a picture's short side, one in so many, within which a shift is looked for
_SOFT = 2.0  # pixels by which maps are blurred: results never meet a hint to the pixel


def displacement(found: Sequence[np.ndarray], hints: Sequence[np.ndarray]) -> Shift:
    """The shift of `found` against `hints`, maps `(H, W)` in pairs, that all pairs together agree on best.

    The maximum of their cross correlation, without the mean of each, within an eighth of the short side.
    """
    reach = min(min(one.shape) for one in hints) // _REACH
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    for one, other in zip(found, hints, strict=True):
        total += _correlation(_soft(one), _soft(other), reach)
    down, right = np.unravel_index(int(total.argmax()), total.shape)
    return int(right) - reach, int(down) - reach


def overlapping(found: np.ndarray, hint: np.ndarray, shift: Shift) -> tuple[np.ndarray, np.ndarray]:
    """The parts of two pictures `(H, W, C)` that lie on each other once `found` is shifted back."""
    right, down = shift
    height, width = hint.shape[:2]
    rows = slice(max(0, -down), height - max(0, down)), slice(max(0, down), height - max(0, -down))
    columns = slice(max(0, -right), width - max(0, right)), slice(max(0, right), width - max(0, -right))
    return found[rows[1], columns[1]], hint[rows[0], columns[0]]


def in_words(shift: Shift) -> str:
    """Such as '16 pixels to the right and 2 up'."""
    right, down = shift
    parts = []
    if right:
        parts.append(f"{abs(right)} pixels to the {'right' if right > 0 else 'left'}")
    if down:
        unit = " pixels" if not right else ""
        parts.append(f"{abs(down)}{unit} {'down' if down > 0 else 'up'}")
    return " and ".join(parts) or "in place"


def _soft(map: np.ndarray) -> np.ndarray:
    blurred = load_opencv().GaussianBlur(map.astype(np.float64), (0, 0), _SOFT)
    centred = blurred - blurred.mean()
    return centred / max(float(np.sqrt(np.square(centred).sum())), 1e-9)


def _correlation(found: np.ndarray, hint: np.ndarray, reach: int) -> np.ndarray:
    """Of every shift up to `reach` in both directions, `(down, right)`."""
    size = [side + reach for side in hint.shape]
    spectrum = np.fft.rfft2(found, size) * np.fft.rfft2(hint, size).conj()
    places = np.arange(-reach, reach + 1)
    return np.fft.irfft2(spectrum, size)[np.ix_(places, places)]
