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
from .sizing import Look, to_net, to_pixels

DEPTH_LOOK = Look(multiple=64, seen_bytes=2050, photo_bytes=20, most=1024)


def build_depth(file: Path) -> nn.Module:
    """The net of `dpt_hybrid-midas-501f0c75.pt`. Raises SCEditError for another file."""
    library = load_library("controlnet_aux.midas.midas.dpt_depth", "controlnet-aux")
    return fill_net(lambda: library.DPTDepthModel(backbone="vitb_rn50_384", non_negative=True), file)


def depth(photo: np.ndarray, net: Any, *, resolution: int = 0) -> np.ndarray:
    """Depth of an RGB photo, uint8 `(H, W, 3)` to the same: the nearest point 255, the farthest 0.

    The net looks at the photo with `resolution` as its short side; 0 is its own, at most 1024.
    """
    height, width = photo.shape[:2]
    size = DEPTH_LOOK.size(height, width, resolution)
    near = net(to_net(photo, size, next(net.parameters()).device) / 127.5 - 1)[None]  # (1, 1, h, w)
    net.pretrained.activations.clear()  # the library keeps what its hooks saw until the next photo
    near = near - near.min()
    near = near / near.max().clamp(min=torch.finfo(near.dtype).tiny)  # a flat photo is all far, not NaN
    return to_pixels(scaled(near, (height, width)) * 255)
