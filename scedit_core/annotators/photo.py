"""Images as users hand them in, made into what an annotator looks at."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from ..hint import cover, cycled, to_hint


def to_photo(image: Tensor) -> Tensor:
    """Photo `(N, 3, H, W)` from images `(N, H, W, C)` of 1, 3 or 4 channels; transparent parts are white.

    Raises SCEditError for an empty batch and for other numbers of channels.
    """
    rgb = to_hint(image)
    return rgb if image.shape[-1] < 4 else _over(rgb, _alpha(image), 1.0)


def to_drawing(image: Tensor, transparent: Tensor | None = None) -> Tensor:
    """Drawing `(N, 3, H, W)` from images as above, transparent parts filled like paper.

    White behind dark lines, black behind light ones. `transparent` `(M, 1, H, W)`, 0..1, stands in for a
    fourth channel, as 1 - alpha; it is fitted to the images, and image k takes mask k mod M.
    """
    rgb = to_hint(image)
    if transparent is not None:
        fitted = cover(transparent, *rgb.shape[-2:])
        alpha = 1 - cycled(fitted, torch.arange(len(rgb), device=fitted.device)).to(rgb)
    elif image.shape[-1] == 4:
        alpha = _alpha(image)
    else:
        return rgb
    brightness = rgb.mean(1, keepdim=True)
    weight = alpha.sum((-2, -1), keepdim=True).clamp(min=1e-6)
    ink = (brightness * alpha).sum((-2, -1), keepdim=True) / weight
    return _over(rgb, alpha, (ink < 0.5).float())


def _alpha(image: Tensor) -> Tensor:
    """The fourth channel `(N, 1, H, W)`, 1 where a picture is opaque."""
    return rearrange(image[..., 3:], "n h w c -> n c h w").float()


def _over(rgb: Tensor, alpha: Tensor, paper: Tensor | float) -> Tensor:
    """The picture on paper of one brightness; what is opaque stays as it is, bit for bit."""
    return rgb * alpha + (1 - alpha) * paper
