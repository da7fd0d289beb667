"""A picture with room around it for what an inpainting controller is to add."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ...errors import SCEditError


@dataclass(frozen=True)
class Margins:
    """How far a picture grows at each side, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0:
            sides = ", ".join(map(str, astuple(self)))
            raise SCEditError(
                f"a picture grows by 0 pixels or more at left, top, right and bottom, got {sides}; to "
                "make it smaller, crop it"
            )


def outpaint(image: Tensor, margins: Margins, fill: float) -> Tensor:
    """Images `(N, C, H, W)`, 0..1, grown by the margins; the picture's own pixels are untouched."""
    around = (margins.left, margins.right, margins.top, margins.bottom)
    return F.pad(image, around, value=fill)


def border_mask(height: int, width: int, margins: Margins, feather: int = 0) -> Tensor:
    """Mask `(1, 1, H, W)` of a grown picture whose own size is height x width: 1 on the border.

    `feather` pixels within the picture, beside a grown side, fall evenly from 1 to 0.
    """
    inside = torch.zeros(1, 1, height, width)
    if feather > 0:
        rows = _ramp(height, feather, at_start=margins.top > 0, at_end=margins.bottom > 0)
        columns = _ramp(width, feather, at_start=margins.left > 0, at_end=margins.right > 0)
        inside = rearrange(torch.maximum(rows[:, None], columns[None, :]), "h w -> 1 1 h w")
    return outpaint(inside, margins, fill=1.0)


def _ramp(length: int, feather: int, *, at_start: bool, at_end: bool) -> Tensor:
    """Values of one side's pixels, from 1 beside an end that grew to 0 at a distance of feather + 1."""
    distance = torch.arange(1, length + 1)
    falling = (1 - distance / (feather + 1)).clamp(min=0)
    return torch.maximum(falling * at_start, falling.flip(0) * at_end)
