"""The cut-out that an inpainting controller sees."""

from __future__ import annotations

import torch
from torch import Tensor

from ...hint import cover, cycled


def masked_image(image: Tensor, mask: Tensor) -> Tensor:
    """Images `(N, 3, H, W)` with the masked pixels black; a mask `(M, 1, H, W)` above 0.5 masks.

    The mask is fitted to the image like a hint to a latent; image k takes mask k mod M.
    """
    masks = cycled(cover(mask, *image.shape[-2:]), torch.arange(len(image)))
    return torch.where(masks > 0.5, torch.zeros_like(image), image)
