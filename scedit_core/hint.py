"""Hint images and masks as users hand them in, made to fit the latent they steer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .errors import SCEditError


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
    return rgb.movedim(-1, 1).float()  # (N, 3, H, W)


def to_mask(mask: Tensor) -> Tensor:
    """Mask `(M, 1, H, W)` from masks `(M, H, W)` or `(H, W)`; 1 where the edit acts."""
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise SCEditError(
            f"expected a mask (M, H, W) with at least one pixel, got shape {tuple(mask.shape)}; "
            "connect a mask that holds pixels"
        )
    return mask.reshape(-1, 1, *mask.shape[-2:]).float()


def cover(image: Tensor, height: int, width: int) -> Tensor:
    """Scale `(N, C, H, W)` until it covers height x width, then crop its centre: no bars, no distortion."""
    if image.shape[-2:] == (height, width):
        return image
    high, wide = image.shape[-2:]
    # whole numbers, rounded down: the sizes that the authors' resize gives
    by_height = wide * height >= width * high
    size = (height, wide * height // high) if by_height else (high * width // wide, width)
    image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return image[..., top : top + height, left : left + width]
