"""Hint images and masks as users hand them in, made to fit the latent they steer."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import SCEditError

PIXELS_PER_LATENT = 8  # of a hint or a picture, in height and in width, to one of its latent
_MOST_PIXELS = 2**24  # scaled at once; a picture with more, most of which is cut off, is cropped first


def to_hint(image: Tensor) -> Tensor:
    """Hint `(N, 3, H, W)` from images `(N, H, W, C)` of 1 (grey), 3 (RGB) or 4 channels (alpha dropped)."""
    if image.ndim != 4 or image.numel() == 0:
        raise SCEditError(
            f"expected at least one image (N, H, W, C), got shape {tuple(image.shape)}; "
            "connect an image that holds pixels"
        )
    channels = image.shape[-1]
    if channels not in (1, 3, 4):
        raise SCEditError(f"an image has 1, 3 or 4 channels, got {channels}; convert it to RGB")
    rgb = image[..., :3] if channels >= 3 else image.expand(*image.shape[:-1], 3)
    _check_finite(image, "an image")
    return rgb.movedim(-1, 1).float()  # (N, 3, H, W)


def to_mask(mask: Tensor) -> Tensor:
    """Mask `(M, 1, H, W)` from masks `(M, H, W)` or `(H, W)`; 1 where the edit acts."""
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise SCEditError(
            f"expected a mask (M, H, W) with at least one pixel, got shape {tuple(mask.shape)}; "
            "connect a mask that holds pixels"
        )
    _check_finite(mask, "a mask")
    return mask.reshape(-1, 1, *mask.shape[-2:]).float()


def _check_finite(values: Tensor, what: str) -> None:
    """Refuse numbers among which is a NaN or an infinity."""
    low, high = torch.aminmax(
        values.float()
    )  # NaN if there is one; in the order of a batch it copies nothing
    if not math.isfinite(low) or not math.isfinite(high):
        raise SCEditError(
            f"{what} holds numbers that are not finite (NaN or infinity); look at the node that made it, its "
            "values should lie between 0 and 1"
        )


def cover(image: Tensor, height: int, width: int) -> Tensor:
    """Scale `(N, C, H, W)` until it covers height x width, then crop its centre: no bars, no distortion.

    A picture of which little would be kept is cropped before it grows: the same numbers but for rounding.
    """
    if image.shape[-2:] == (height, width):
        return image
    high, wide = image.shape[-2:]
    # whole numbers, rounded down: the sizes that the authors' resize gives
    by_height = wide * height >= width * high
    size = (height, wide * height // high) if by_height else (high * width // wide, width)
    first = (size[0] - height) // 2, (size[1] - width) // 2
    pixels = size[0] * size[1]
    if pixels > max(_MOST_PIXELS, 4 * height * width, high * wide):
        return _scaled_part(image, size, first, (height, width))
    if len(image) * pixels <= _MOST_PIXELS:
        return _cropped(scaled(image, size), first, height, width)
    # one by one: of each, what is cut off goes before the next one comes
    return torch.cat([_cropped(scaled(one[None], size), first, height, width) for one in image])


def cycled(x: Tensor, numbers: Tensor) -> Tensor:
    """Row k mod M of `x` `(M, ...)` for each k of `numbers` `(N,)`: what is fewer than the rest repeats."""
    return x[numbers % len(x)]


def scaled(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """Scale `(N, C, H, W)` to size: every point stays where it is, and nothing is skipped on the way down."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)


def _cropped(image: Tensor, first: tuple[int, int], height: int, width: int) -> Tensor:
    top, left = first
    return image[..., top : top + height, left : left + width]


def _scaled_part(
    image: Tensor, size: tuple[int, int], first: tuple[int, int], kept: tuple[int, int]
) -> Tensor:
    """What `scaled` makes of an image at `size`, from its pixel `first` on, `kept` pixels of each side."""
    high, wide = image.shape[-2:]
    rows, down = _taps(high, size[0], first[0], kept[0])
    columns, across = _taps(wide, size[1], first[1], kept[1])
    return down.to(image) @ image[..., rows, columns] @ across.to(image).T


def _taps(length: int, new_length: int, first: int, count: int) -> tuple[slice, Tensor]:
    """Which of `length` pixels make `count` pixels of `new_length`, and their weights `(count, part)`.

    Weights of bilinear scaling with antialias: a triangle as wide as a pixel of the coarser of the two sides.
    """
    scale = length / new_length
    reach = max(scale, 1.0)
    centres = (torch.arange(first, first + count, dtype=torch.float64) + 0.5) * scale
    start = max(0, math.floor(float(centres[0]) - reach))
    end = min(length, math.ceil(float(centres[-1]) + reach))
    pixels = torch.arange(start, end, dtype=torch.float64) + 0.5
    weights = (1 - (pixels - centres[:, None]).abs() / reach).clamp(min=0)
    return slice(start, end), weights / weights.sum(1, keepdim=True)
