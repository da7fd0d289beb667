"""Sizes that pictures are trained at, and the part of a picture that fills such a size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import SCEditError

STEP = 64  # pixels: SDXL's latents are halved three times

# What captions tell SDXL of their pictures: its own size, what is cut off left and top, and the size at which
# the picture is seen. Other models ignore it.
SIZE_NAMES = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")


@dataclass(frozen=True)
class Crop:
    """The centre of a picture, as large as the aspect of `size` allows, scaled to `size`.

    `original` and `size` are (width, height) in pixels.
    """

    original: tuple[int, int]
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """By how much the picture is scaled to cover `size`."""
        return max(new / old for new, old in zip(self.size, self.original, strict=True))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the part that is kept, in pixels of the original."""
        width, height = (
            min(old, new / self.scale) for new, old in zip(self.size, self.original, strict=True)
        )
        left, top = (self.original[0] - width) / 2, (self.original[1] - height) / 2
        return left, top, left + width, top + height

    @property
    def offset(self) -> tuple[int, int]:
        """Pixels cut off left and top after scaling: SDXL's crop coordinates (arXiv 2307.01952)."""
        left, top, _, _ = self.box
        return round(left * self.scale), round(top * self.scale)

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers of SIZE_NAMES."""
        return dict(zip(SIZE_NAMES, (*self.original, *self.offset, *self.size), strict=True))

    @property
    def lost(self) -> float:
        """Part of the picture that is cut off, 0..1."""
        left, top, right, bottom = self.box
        return 1 - (right - left) * (bottom - top) / (self.original[0] * self.original[1])


@dataclass(frozen=True)
class Sizing:
    """How large pictures are trained: `resolution` in pixels, as the side of a square.

    Without `buckets` each is cut to a square. Without `enlarge` a picture of fewer pixels than that square
    is trained as if the resolution were the next below its own, in steps.
    """

    resolution: int
    buckets: bool = True
    enlarge: bool = True

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture of this size is trained at."""
        shape, resolution = (width, height) if self.buckets else (1, 1), self.resolution
        if not self.enlarge:
            side = math.isqrt(width * height) if self.buckets else min(width, height)
            resolution = min(resolution, max(STEP, side // STEP * STEP))
        return bucket_size(*shape, resolution)


def bucket_size(width: int, height: int, resolution: int, step: int = STEP) -> tuple[int, int]:
    """Width and height, in steps, of at most resolution x resolution pixels in all, nearest in aspect.

    Sides stay between half and twice the resolution; of equal aspects the larger size is taken.
    """
    if resolution < step or resolution % step:
        raise SCEditError(
            f"resolution is a multiple of {step} pixels, got {resolution}; use for instance 512"
        )
    shortest = -(-resolution // (2 * step)) * step
    sizes = set()
    for side in range(shortest, 2 * resolution + 1, step):
        other = min(resolution**2 // side, 2 * resolution) // step * step
        if other >= shortest:
            sizes |= {(side, other), (other, side)}
    aspect = math.log(width / height)
    # rounded, so that wide and tall pictures of one aspect do not part by rounding errors
    return min(sizes, key=lambda s: (round(abs(math.log(s[0] / s[1]) - aspect), 6), -s[0] * s[1], s))
