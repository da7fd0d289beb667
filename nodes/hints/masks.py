"""Nodes that make masks for inpainting controls: at random, and around a picture."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io, ui
from einops import rearrange
from torch import Tensor

from ...scedit_core.annotators.drawn.masked_image import masked_image
from ...scedit_core.annotators.drawn.outpaint import Margins, border_mask, outpaint
from ...scedit_core.annotators.drawn.random_mask import MASK_STYLES, random_mask
from ...scedit_core.annotators.photo import to_photo
from ...scedit_core.hint import cycled
from .. import widgets
from .drawing import check_room, show

_LARGEST = 16384
_SIZE_TIP = "Size of the masks in pixels. Not used if an image is connected."
_SIDES = ("left", "top", "right", "bottom")
_MARGIN_TIP = (
    "How many pixels the picture grows at this side. Steps of 8 keep sizes that are multiples of 8, as "
    "models need them."
)


def _random_masks(height: int, width: int, seed: int, count: int, style: str) -> Tensor:
    """Masks (count, 1, H, W); each depends on the seed and its number alone."""
    progress = comfy.utils.ProgressBar(count)
    masks = []
    for number in range(count):
        comfy.model_management.throw_exception_if_processing_interrupted()
        mask = random_mask(height, width, np.random.default_rng([seed, number]), style)
        masks.append(torch.from_numpy(mask).float() / 255)
        progress.update(1)
    return rearrange(masks, "n h w -> n 1 h w")


class SCEditRandomMask(io.ComfyNode):
    """Draws random strokes and boxes, as LaMa does, to train or try inpainting controls."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Random Mask", "hints"),
            inputs=[
                *(widgets.whole(side, 512, (1, _LARGEST), _SIZE_TIP, step=8) for side in ("width", "height")),
                widgets.seed("The same seed draws the same masks.", changes=True),
                widgets.whole(
                    "batch_size",
                    1,
                    (1, 4096),
                    "How many masks. With images connected, at least one for each of them.",
                ),
                widgets.choice(
                    "style",
                    MASK_STYLES,
                    "training: the mix that LaMa was trained with. thin, medium, thick: those it was tested "
                    "with, on at most half of the picture.",
                    default="training",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="Pictures to cut the masks out of; they give the size."
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="White where something new is to be made."),
                io.Image.Output(
                    display_name="hint",
                    tooltip="The image with the masked part black, for an inpainting control. Without an "
                    "image, the masks in black on white.",
                ),
            ],
            **widgets.KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls, width: int, height: int, seed: int, batch_size: int = 1, style: str = "training",
        image: Tensor | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        photos = None if image is None else to_photo(image)
        height, width = (height, width) if photos is None else photos.shape[-2:]
        count = batch_size if photos is None else max(batch_size, len(photos))
        check_room(height * width * count, "make the masks smaller, or fewer")
        photos = torch.ones(1, 3, height, width) if photos is None else photos
        masks = _random_masks(height, width, seed, count, style)
        photos = cycled(photos, torch.arange(count, device=photos.device))
        hint = rearrange(masked_image(photos, masks.to(photos.device)), "n c h w -> n h w c")
        masks = masks.squeeze(1)
        # seen as ComfyUI shows masks, white where they are; the hint is their cut-out
        return io.NodeOutput(masks, hint, ui=ui.PreviewMask(masks, cls=cls))


class SCEditOutpaint(io.ComfyNode):
    """Grows a picture at its sides and makes mask and hint of the border, for inpainting controls."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Outpaint", "hints"),
            inputs=[
                io.Image.Input("image", tooltip="The picture to continue beyond its borders."),
                *(widgets.whole(side, 0, (0, _LARGEST), _MARGIN_TIP, step=8) for side in _SIDES),
                widgets.whole(
                    "feather",
                    0,
                    (0, 4096),
                    "Width in pixels of a soft edge of the mask, inside the picture, to hide the seam. The "
                    "hint stays hard.",
                    **widgets.OPTIONAL,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The grown picture, its border grey."),
                io.Mask.Output(display_name="mask", tooltip="White on the border: what is to be made."),
                io.Image.Output(
                    display_name="hint",
                    tooltip="The grown picture with its border black, for an inpainting control.",
                ),
            ],
            **widgets.KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls, image: Tensor, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0, feather: int = 0
    ) -> io.NodeOutput:
        photos, margins = to_photo(image), Margins(left, top, right, bottom)
        high, wide = photos.shape[-2:]
        check_room(
            len(photos) * (top + high + bottom) * (left + wide + right),
            "grow it less, or fewer pictures at once",
        )
        mask = border_mask(high, wide, margins, feather).expand(len(photos), -1, -1, -1)
        grown, hint = (
            rearrange(outpaint(photos, margins, fill), "n c h w -> n h w c") for fill in (0.5, 0.0)
        )
        return show(cls, hint, grown, mask.squeeze(1))
