"""What all nodes that make hints share: photos in, one image after the other, hint and preview out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.annotators.drawn.canny import canny
from ...scedit_core.annotators.drawn.color import color
from ...scedit_core.annotators.drawn.masked_image import masked_image
from ...scedit_core.annotators.drawn.sketch import AUTO, LINES, sketch
from ...scedit_core.annotators.photo import to_drawing, to_photo
from ...scedit_core.hint import to_mask

# Shows the preview again when ComfyUI takes the hint from its cache; a schema field since ComfyUI 0.19.
KEEPS_PREVIEW = {"has_intermediate_output": True} if hasattr(io.Schema, "has_intermediate_output") else {}

Settings = Mapping[str, Any]


_MOST_PIXELS = 2**27  # of a picture that is made larger to be looked at: 1.6 GB of numbers
_PIXEL_BYTES = 40  # that a picture, its hint, their mask and the preview take together while they are made


@dataclass(frozen=True)
class HintKind:
    """A condition as a choice of 'Any Hint': its settings, and how photos become hints of the same size.

    `draw` takes images (N, H, W, C), 0..1, and the values of `inputs` by name; it gives hints (N, H, W, 3).
    A kind that a net finds has a `net_resolution`, the short side at which the net looks if the user asks for
    none (0: the image's own). Its `draw` is told that side as "resolution" and scales there and back itself.
    """

    inputs: list[io.Input]
    draw: Callable[[Tensor, Settings], Tensor]
    net_resolution: int | None = None


def annotate(photos: Tensor, annotator: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Run an annotator of uint8 RGB arrays over photos (N, 3, H, W): hints (N, H, W, 3), 0..1.

    Moves the node's bar with each image, and stops between two if the user cancelled.
    """
    progress = comfy.utils.ProgressBar(len(photos))
    hints = []
    for photo in photos.movedim(1, -1):
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


def draw_at(kind: HintKind, image: Tensor, settings: Settings, resolution: int, keep_size: bool) -> Tensor:
    """Hints drawn from images whose short side is first made `resolution` pixels, if that is not 0.

    With `keep_size` they come out at the images' own size. Corners stay on corners all the way.
    """
    if resolution < 0:
        raise SCEditError(f"resolution is 0 or more pixels, got {resolution}; 0 keeps the image's own size")
    own = image.shape[1:3]
    settings = {**settings, "resolution": resolution or kind.net_resolution}
    as_it_is = resolution == 0 or image.ndim != 4 or image.numel() == 0 or resolution == min(own)
    if as_it_is or (keep_size and kind.net_resolution is not None):
        return kind.draw(image, settings)
    size = tuple(max(1, round(side * resolution / min(own))) for side in own)
    if math.prod(size) > _MOST_PIXELS:
        most = int(min(own) * math.sqrt(_MOST_PIXELS / math.prod(own)))
        raise SCEditError(
            f"at resolution {resolution} this picture has {size[1]} x {size[0]} pixels, which are too many; "
            f"set resolution to {most} or less, or crop the picture"
        )
    check_room(len(image) * math.prod(size), "set resolution lower, or draw fewer pictures at once")
    hint = kind.draw(_resized(image, size, is_smooth=True), settings)
    return _resized(hint, own, is_smooth=False) if keep_size else hint


def _resized(image: Tensor, size: tuple[int, ...], *, is_smooth: bool) -> Tensor:
    """Images (N, H, W, C) at another size; lines and blocks keep their values when they grow."""
    channels_first = image.movedim(-1, 1).float()
    shrinks = size[0] < image.shape[1]
    how = {"mode": "bilinear", "antialias": True} if is_smooth or shrinks else {"mode": "nearest-exact"}
    return F.interpolate(channels_first, size=size, **how).movedim(1, -1)


def canny_inputs() -> list[io.Input]:
    """Settings of canny edges."""
    return [
        io.Int.Input(
            "low_threshold",
            default=100,
            min=0,
            max=2000,
            tooltip="Edges weaker than this are dropped. Lower finds more. Published controls: 100.",
        ),
        io.Int.Input(
            "high_threshold",
            default=200,
            min=0,
            max=2000,
            tooltip="Edges stronger than this are kept; those between only where they join one. "
            "Published controls: 200.",
        ),
    ]


def color_inputs() -> list[io.Input]:
    """Settings of colour blocks."""
    return [
        io.Int.Input(
            "ratio",
            display_name="block size",
            default=64,
            min=1,
            max=1024,
            tooltip="Side of a colour block in pixels of the image. Published controls: 64 (48 to 96).",
        )
    ]


def masked_image_inputs() -> list[io.Input]:
    """What the cut-out leaves out."""
    return [
        io.Mask.Input(
            "mask",
            tooltip="White where something new is to be made. Scaled to cover the picture if its "
            "size differs; a batch gives each picture its own, fewer repeat.",
        )
    ]


def sketch_inputs() -> list[io.Input]:
    """Settings of the lines of a drawing."""
    return [
        io.Float.Input(
            "threshold",
            default=0.3,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="How strong a line must be beside the strongest of the drawing. Lower finds fainter "
            "ones, and more of the paper.",
        ),
        io.Combo.Input(
            "lines",
            options=list(LINES),
            default=AUTO,
            tooltip="Whether the lines are darker or lighter than the paper. auto: what there is less of.",
        ),
        io.Boolean.Input(
            "thin",
            default=True,
            tooltip="Draw each line one pixel wide, as canny edges are. Off: as wide as in the drawing.",
        ),
        io.Mask.Input(
            "transparent",
            optional=True,
            tooltip="For drawings on a transparent ground: the mask of 'Load Image'. Black parts are the "
            "drawing, white ones are filled like paper.",
        ),
    ]


def draw_canny(image: Tensor, settings: Settings) -> Tensor:
    """Canny edges of images."""
    low, high = settings["low_threshold"], settings["high_threshold"]
    return annotate(to_photo(image), lambda photo: canny(photo, low, high))


def draw_color(image: Tensor, settings: Settings) -> Tensor:
    """Colour blocks of images."""
    return annotate(to_photo(image), lambda photo: color(photo, settings["ratio"]))


def draw_masked_image(image: Tensor, settings: Settings) -> Tensor:
    """Images with the masked part black."""
    return masked_image(to_photo(image), to_mask(settings["mask"])).movedim(1, -1)


def draw_sketch(image: Tensor, settings: Settings) -> Tensor:
    """Lines of drawings."""
    transparent = settings.get("transparent")
    drawing = to_drawing(image, None if transparent is None else to_mask(transparent))
    threshold, lines, thin = settings["threshold"], settings["lines"], settings["thin"]
    return annotate(drawing, lambda page: sketch(page, threshold, lines, thin=thin))
