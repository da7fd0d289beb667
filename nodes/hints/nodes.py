"""Nodes that make hint images from pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.annotators.drawn.sketch import AUTO
from ..widgets import download
from .drawing import (
    KEEPS_PREVIEW,
    HintKind,
    canny_inputs,
    color_inputs,
    draw_at,
    draw_canny,
    draw_color,
    draw_masked_image,
    draw_sketch,
    masked_image_inputs,
    show,
    sketch_inputs,
)
from .nets import draw_depth, draw_hed, draw_pose, draw_segmentation, hed_inputs, pose_inputs

# what 'Any Hint' offers; a further condition is a further line
KINDS: Mapping[str, HintKind] = {
    "canny": HintKind(canny_inputs(), draw_canny),
    "color": HintKind(color_inputs(), draw_color),
    "masked image": HintKind(masked_image_inputs(), draw_masked_image),
    "sketch": HintKind(sketch_inputs(), draw_sketch),
    "hed": HintKind([*hed_inputs(), download()], draw_hed, net_resolution=0),
    "depth": HintKind([download()], draw_depth, net_resolution=0),
    "pose": HintKind([*pose_inputs(), download()], draw_pose, net_resolution=0),
    "segmentation": HintKind([download()], draw_segmentation, net_resolution=512),
}


# words that find 'Any Hint': those of all the kinds that it offers
_EVERY_HINT = [
    "scedit", "preprocessor", "annotator", "aux", "canny", "color", "inpaint", "sketch", "lineart",
    "soft edge", "depth", "openpose", "segmentation", "预处理器", "线稿", "深度图", "姿态", "線画", "ポーズ",
]  # fmt: skip


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
            search_aliases=["scedit", "canny edge", "preprocessor", "线稿", "边缘检测", "線画", "エッジ"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose edges should be followed."),
                *canny_inputs(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a canny control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, low_threshold: int = 100, high_threshold: int = 200) -> io.NodeOutput:
        """Make and show the hint."""
        limits = {"low_threshold": low_threshold, "high_threshold": high_threshold}
        return show(cls, draw_canny(image, limits))


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
            search_aliases=["scedit", "color palette", "colour", "preprocessor", "颜色", "色块", "色"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose colours should be followed."),
                *color_inputs(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a color control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, ratio: int = 64) -> io.NodeOutput:
        """Make and show the hint."""
        return show(cls, draw_color(image, {"ratio": ratio}))


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
            search_aliases=[
                "scedit",
                "inpaint",
                "cut out",
                "mask",
                "preprocessor",
                "局部重绘",
                "遮罩",
                "マスク",
            ],
            inputs=[
                io.Image.Input("image", tooltip="The picture to keep outside the mask."),
                *masked_image_inputs(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For an inpainting control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, mask: Tensor) -> io.NodeOutput:
        """Make and show the hint."""
        return show(cls, draw_masked_image(image, {"mask": mask}))


class SCEditSketch(io.ComfyNode):
    """The lines of a drawing or scan, as canny controllers expect edges."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditSketch",
            display_name="Sketch Hint (SCEdit)",
            category="SCEdit/hints",
            description="Clean white lines on black from a drawing or scan, for canny controls. Same size.",
            search_aliases=[
                "scedit",
                "scribble",
                "drawing",
                "lineart",
                "line art",
                "preprocessor",
                "草图",
                "手绘",
                "线稿",
                "線画",
            ],
            inputs=[
                io.Image.Input("image", tooltip="A drawing or a scan of one, on paper of any brightness."),
                *sketch_inputs(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a canny control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        threshold: float = 0.3,
        lines: str = AUTO,
        thin: bool = True,
        transparent: Tensor | None = None,
    ) -> io.NodeOutput:
        """Make and show the hint."""
        settings = {"threshold": threshold, "lines": lines, "thin": thin, "transparent": transparent}
        return show(cls, draw_sketch(image, settings))


class SCEditPreprocess(io.ComfyNode):
    """Any hint, chosen in the node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        options = [io.DynamicCombo.Option(name, kind.inputs) for name, kind in KINDS.items()]
        return io.Schema(
            node_id="SCEditPreprocess",
            display_name="Any Hint (SCEdit)",
            category="SCEdit/hints",
            description="Makes the hint for any kind of control, chosen in the node.",
            search_aliases=_EVERY_HINT,
            inputs=[
                io.Image.Input("image", tooltip="The picture that should be followed."),
                io.DynamicCombo.Input(
                    "condition",
                    display_name="hint kind",
                    options=options,
                    tooltip="What the control was trained on. Each kind has its own settings below.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=8192,
                    tooltip="Short side, in pixels, at which the picture is looked at. 0: its own size; for "
                    "segmentation 512, at which its net learned.",
                ),
                io.Boolean.Input(
                    "keep_size",
                    default=True,
                    tooltip="Scale the hint back to the picture's size. Off: it stays at that of resolution.",
                ),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a control of the chosen kind.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls, image: Tensor, condition: dict[str, Any], resolution: int = 0, keep_size: bool = True
    ) -> io.NodeOutput:
        """Make and show the hint."""
        kind = KINDS.get(condition["condition"])
        if kind is None:
            known = ", ".join(KINDS)
            raise SCEditError(
                f"condition is one of {known}, got '{condition['condition']}'; choose one of them"
            )
        return show(cls, draw_at(kind, image, condition, resolution, keep_size))
