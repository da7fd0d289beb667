"""What is where: the 150 classes of ADE20K in the colours that segmentation controls know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ...hint import scaled
from .libraries import load_library
from .loading import fill_net
from .sizing import Look, to_net

SEGMENTATION_LOOK = Look(multiple=32, seen_bytes=1850, photo_bytes=85)

_CLASSES = 150
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet, for values 0 to 255
_AT_ONCE = 10  # classes scaled to the photo's size at a time: all of them would take 600 bytes a pixel

PALETTE = np.frombuffer(
    bytes.fromhex(
        "787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff0652"
        "8fff8cccff04ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0"
        "ffb8060aff47ff290a07ffffe0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff"
        "8c8c8cfa0a0f14ff001fff00ff1f00ffe00099ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff"
        "00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff000052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ff"
        "ff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc200ff52000aff0070ff3300ff00c2ff007aff"
        "00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ffff001f00b8ff00d6ffff0070"
        "5cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ffff007afff500"
        "0abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff"
        "b8ff000085ffffd60019c2c266ff005c00ff"
    ),
    dtype=np.uint8,
).reshape(_CLASSES, 3)


def build_segmentation(file: Path) -> nn.Module:
    """UperNet with ConvNeXt-S, trained on ADE20K. Raises SCEditError for another file."""
    library = load_library("transformers", "transformers")
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    sizes = {"depths": [3, 3, 27, 3], "hidden_sizes": [96, 192, 384, 768]}
    backbone = library.ConvNextConfig(**sizes, out_features=stages)
    config = library.UperNetConfig(backbone_config=backbone, num_labels=_CLASSES, auxiliary_in_channels=384)
    return fill_net(lambda: library.UperNetForSemanticSegmentation(config), file)


def segmentation(photo: np.ndarray, net: Any, *, resolution: int = 512) -> np.ndarray:
    """Classes of an RGB photo, uint8 `(H, W, 3)` to the same, in their colours.

    The net looks at the photo with `resolution` as its short side, 0 for its own; it learned at 512.
    """
    return segmentation_all(photo[None], net, resolution=resolution)[0]


def segmentation_all(photos: np.ndarray, net: Any, *, resolution: int = 512) -> np.ndarray:
    """What `segmentation` makes of photos of one size, uint8 `(N, H, W, 3)`, which the net sees together."""
    height, width = photos.shape[1:3]
    size = SEGMENTATION_LOOK.size(height, width, resolution)
    pixels = to_net(photos, size, next(net.parameters()).device)
    mean, std = (rearrange(pixels.new_tensor(values), "c -> 1 c 1 1") for values in (_MEAN, _STD))
    logits = net((pixels - mean) / std).logits  # (N, 150, h, w)
    return np.stack([PALETTE[_likeliest(one[None], (height, width)).cpu().numpy()] for one in logits])


def _likeliest(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """The class with the largest logit after scaling to size, a few classes at a time: `(H, W)`."""
    best = torch.full(size, -torch.inf, dtype=logits.dtype, device=logits.device)
    label = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for start in range(0, logits.shape[1], _AT_ONCE):
        value, index = scaled(logits[:, start : start + _AT_ONCE], size)[0].max(dim=0)
        is_better = value > best
        best = torch.where(is_better, value, best)
        label = torch.where(is_better, (index + start).to(torch.uint8), label)
    return label
