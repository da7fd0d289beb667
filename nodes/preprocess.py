"""Nodes that make hint images from pictures."""

from __future__ import annotations

from collections.abc import Callable

import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..scedit_core.annotators.canny import canny
from ..scedit_core.annotators.color import color
from ..scedit_core.annotators.masked_image import masked_image
from ..scedit_core.hint import to_hint, to_mask

# Shows the preview again when ComfyUI takes the hint from its cache; a schema field since ComfyUI 0.19.
_KEEPS_PREVIEW = {"has_intermediate_output": True} if hasattr(io.Schema, "has_intermediate_output") else {}


def _annotate(image: Tensor, annotator: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Run an annotator of uint8 RGB arrays over images (N, H, W, C), with progress; same size out."""
    photos = to_hint(image).movedim(1, -1)  # (N, H, W, 3)
    progress = comfy.utils.ProgressBar(len(photos))
    hints = []
    for photo in photos:
        pixels = (photo * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        hints.append(torch.from_numpy(annotator(np.ascontiguousarray(pixels))).float() / 255)
        progress.update(1)
    return torch.stack(hints)


def _with_preview(hint: Tensor, cls: type[io.ComfyNode]) -> io.NodeOutput:
    return io.NodeOutput(hint, ui=ui.PreviewImage(hint, cls=cls))


class SCEditCanny(io.ComfyNode):
    """Canny edges as the canny controllers expect them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditCanny",
            display_name="Canny Hint (SCEdit)",
            category="SCEdit/hints",
            description="White edges on black, for canny controls. Same size as the image.",
            search_aliases=["scedit", "canny edge", "preprocessor", "线稿", "边缘检测"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose edges should be followed."),
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
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a canny control.")],
            **_KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, low_threshold: int = 100, high_threshold: int = 200) -> io.NodeOutput:
        """Make and show the hint."""
        hint = _annotate(image, lambda photo: canny(photo, low_threshold, high_threshold))
        return _with_preview(hint, cls)


class SCEditColor(io.ComfyNode):
    """Colour blocks as the colour controllers expect them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditColor",
            display_name="Color Hint (SCEdit)",
            category="SCEdit/hints",
            description="Coarse colour blocks, for color controls. Same size as the image.",
            search_aliases=["scedit", "color palette", "colour", "preprocessor", "颜色", "色块"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose colours should be followed."),
                io.Int.Input(
                    "ratio",
                    default=64,
                    min=1,
                    max=1024,
                    tooltip="Side of a colour block in pixels of the image. "
                    "Published controls: 64 (48 to 96).",
                ),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a color control.")],
            **_KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, ratio: int = 64) -> io.NodeOutput:
        """Make and show the hint."""
        return _with_preview(_annotate(image, lambda photo: color(photo, ratio)), cls)


class SCEditMaskedImage(io.ComfyNode):
    """The cut-out that inpainting controllers expect."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditMaskedImage",
            display_name="Masked Image Hint (SCEdit)",
            category="SCEdit/hints",
            description="Blackens the masked part of a picture, for inpainting controls. Same size.",
            search_aliases=["scedit", "inpaint", "cut out", "mask", "preprocessor", "局部重绘", "遮罩"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to keep outside the mask."),
                io.Mask.Input(
                    "mask",
                    tooltip="White where something new is to be made. Scaled to cover the picture if its "
                    "size differs; a batch gives each picture its own, fewer repeat.",
                ),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For an inpainting control.")],
            **_KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, mask: Tensor) -> io.NodeOutput:
        """Make and show the hint."""
        hint = masked_image(to_hint(image), to_mask(mask)).movedim(1, -1)
        return _with_preview(hint, cls)
