"""How hints are drawn, whatever their kind: one image after the other, at the size asked for, then shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from einops import rearrange
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.hint import scaled

Settings = Mapping[str, Any]


_MOST_PIXELS = 2**27  # of a picture that is made larger to be looked at: 1.6 GB of numbers
_PIXEL_BYTES = 40  # that a picture, its hint, their mask and the preview take together while they are made


def annotate(photos: Tensor, annotator: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Run an annotator of uint8 RGB arrays over photos (N, 3, H, W): hints (N, H, W, 3), 0..1.

    Moves the node's bar with each image, and stops between two if the user cancelled.
    """
    progress = comfy.utils.ProgressBar(len(photos))
    hints = []
    for photo in rearrange(photos, "n c h w -> n h w c"):
        comfy.model_management.throw_exception_if_processing_interrupted()
        pixels = (photo * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        hints.append(torch.from_numpy(annotator(np.ascontiguousarray(pixels))).float() / 255)
        progress.update(1)
    return torch.stack(hints)


def show(cls: type[io.ComfyNode], hint: Tensor, *further: Tensor) -> io.NodeOutput:
    """The hint with its preview, and further outputs in front of it."""
    return io.NodeOutput(*further, hint, ui=ui.PreviewImage(hint, cls=cls))


def check_room(pixels: int, advice: str) -> None:
    """Refuse to make hints of so many pixels in all if there is no memory for them."""
    needed, free = pixels * _PIXEL_BYTES, comfy.model_management.get_free_memory(torch.device("cpu"))
    if needed > free:
        raise SCEditError(
            f"this needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; {advice}"
        )


def draw_at(
    draw: Callable[[Tensor, Settings], Tensor],
    net_resolution: int | None,
    image: Tensor,
    settings: Settings,
    resolution: int,
    keep_size: bool,
) -> Tensor:
    """Hints drawn from images whose short side is first made `resolution` pixels, if that is not 0.

    With `keep_size` they come out at the images' own size. Corners stay on corners all the way. What a net
    draws has a `net_resolution`, see HintKind.
    """
    if resolution < 0:
        raise SCEditError(f"resolution is 0 or more pixels, got {resolution}; 0 keeps the image's own size")
    own = image.shape[1:3]
    settings = {**settings, "resolution": resolution or net_resolution}
    as_it_is = resolution == 0 or image.ndim != 4 or image.numel() == 0 or resolution == min(own)
    if as_it_is or (keep_size and net_resolution is not None):
        return draw(image, settings)
    size = tuple(max(1, round(side * resolution / min(own))) for side in own)
    if math.prod(size) > _MOST_PIXELS:
        most = int(min(own) * math.sqrt(_MOST_PIXELS / math.prod(own)))
        raise SCEditError(
            f"at resolution {resolution} this picture has {size[1]} x {size[0]} pixels, which are too many; "
            f"set resolution to {most} or less, or crop the picture"
        )
    check_room(len(image) * math.prod(size), "set resolution lower, or draw fewer pictures at once")
    hint = draw(_resized(image, size, is_smooth=True), settings)
    return _resized(hint, own, is_smooth=False) if keep_size else hint


def _resized(image: Tensor, size: tuple[int, ...], *, is_smooth: bool) -> Tensor:
    """Images (N, H, W, C) at another size; lines and blocks keep their values when they grow."""
    pixels = rearrange(image, "n h w c -> n c h w").float()
    if is_smooth or size[0] < image.shape[1]:
        resized = scaled(pixels, size)
    else:
        resized = F.interpolate(pixels, size, mode="nearest-exact")
    return rearrange(resized, "n c h w -> n h w c")
