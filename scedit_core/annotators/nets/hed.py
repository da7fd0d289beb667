"""Soft edges by ControlNet's HED net, dark on white as the published controllers saw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import nn

from ...hint import scaled
from ..opencv import load_opencv
from .libraries import load_library
from .loading import fill_net
from .sizing import Look, to_net, to_pixels

HED_LOOK = Look(multiple=16, seen_bytes=850, photo_bytes=20)  # four halvings


def build_hed(file: Path) -> nn.Module:
    """The net of `ControlNetHED.pth`. Raises SCEditError for another file, and without controlnet-aux."""
    library = load_library("controlnet_aux.hed", "controlnet-aux")
    return fill_net(library.ControlNetHED_Apache2, file)


def hed(
    photo: np.ndarray, net: nn.Module, *, resolution: int = 0, white_on_black: bool = False
) -> np.ndarray:
    """Edges of an RGB photo, uint8 `(H, W, 3)` to the same: dark on white, or the ControlNet way round.

    The net looks at the photo with `resolution` as its short side, 0 for its own.
    """
    cv2, (height, width) = load_opencv(), photo.shape[:2]
    size = HED_LOOK.size(height, width, resolution)
    sides = net(to_net(photo, size, next(net.parameters()).device))
    maps = [side[0, 0].float().cpu().numpy() for side in sides]
    maps = [cv2.resize(side, size[::-1], interpolation=cv2.INTER_LINEAR) for side in maps]
    mean = torch.from_numpy(np.mean(np.stack(maps, axis=2), axis=2)).double()
    bright = rearrange(mean.sigmoid() * 255, "h w -> 1 1 h w")
    edges = to_pixels(scaled(bright, (height, width)))
    return edges if white_on_black else 255 - edges
