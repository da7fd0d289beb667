"""Depth by MiDaS (DPT-Hybrid): near is bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...hint import scaled
from .libraries import load_library
from .loading import fill_net
from .sizing import Look, all_to_pixels, to_net

DEPTH_LOOK = Look(multiple=64, seen_bytes=2050, photo_bytes=20, most=1024)


def build_depth(file: Path) -> nn.Module:
    """The net of `dpt_hybrid-midas-501f0c75.pt`. Raises SCEditError for another file."""
    library = load_library("controlnet_aux.midas.midas.dpt_depth", "controlnet-aux")
    return fill_net(lambda: library.DPTDepthModel(backbone="vitb_rn50_384", non_negative=True), file)


def depth(photo: np.ndarray, net: Any, *, resolution: int = 0) -> np.ndarray:
    """Depth of an RGB photo, uint8 `(H, W, 3)` to the same: the nearest point 255, the farthest 0.

    The net looks at the photo with `resolution` as its short side; 0 is its own, at most 1024.
    """
    return depth_all(photo[None], net, resolution=resolution)[0]


def depth_all(photos: np.ndarray, net: Any, *, resolution: int = 0) -> np.ndarray:
    """What `depth` makes of photos of one size, uint8 `(N, H, W, 3)`, which the net sees together."""
    height, width = photos.shape[1:3]
    size = DEPTH_LOOK.size(height, width, resolution)
    near = net(to_net(photos, size, next(net.parameters()).device) / 127.5 - 1)[:, None]  # (N, 1, h, w)
    net.pretrained.activations.clear()  # the library keeps what its hooks saw until the next photo
    near = near - near.amin((1, 2, 3), keepdim=True)
    most = near.amax((1, 2, 3), keepdim=True)
    near = near / most.clamp(min=torch.finfo(near.dtype).tiny)  # a flat photo is all far, not NaN
    return all_to_pixels(scaled(near, (height, width)) * 255)
