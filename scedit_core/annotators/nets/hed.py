"""Soft edges by ControlNet's HED net, dark on white as the published controllers saw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ...hint import scaled
from ..opencv import load_opencv
from .libraries import load_library
from .loading import fill_net
from .sizing import Look, all_to_pixels, to_net

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
    return hed_all(photo[None], net, resolution=resolution, white_on_black=white_on_black)[0]


def hed_all(
    photos: np.ndarray, net: nn.Module, *, resolution: int = 0, white_on_black: bool = False
) -> np.ndarray:
    """What `hed` makes of photos of one size, uint8 `(N, H, W, 3)`, which the net sees together."""
    height, width = photos.shape[1:3]
    size = HED_LOOK.size(height, width, resolution)
    sides = net(to_net(photos, size, next(net.parameters()).device))
    means = torch.from_numpy(
        np.stack([_mean([side[n, 0] for side in sides], size) for n in range(len(photos))])
    )
    bright = rearrange(means.double().sigmoid() * 255, "n h w -> n 1 h w")
    edges = all_to_pixels(scaled(bright, (height, width)))
    return edges if white_on_black else 255 - edges


def _mean(sides: list[Tensor], size: tuple[int, int]) -> np.ndarray:
    """The mean of the net's maps of one photo, each brought to `size`."""
    cv2 = load_opencv()
    maps = [side.float().cpu().numpy() for side in sides]
    maps = [cv2.resize(side, size[::-1], interpolation=cv2.INTER_LINEAR) for side in maps]
    return np.mean(np.stack(maps, axis=2), axis=2)
