"""Nodes that make hint images from pictures: one for each row of KINDS, and one that offers them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...scedit_core import SCEditError
from ..widgets import KEEPS_PREVIEW
from .drawing import draw_at, show
from .kinds import KINDS, HintKind

# words that find 'Any Hint': those of all the kinds that it offers
_EVERY_HINT = [
    "scedit", "preprocessor", "annotator", "aux", "canny", "color", "inpaint", "sketch", "lineart",
    "soft edge", "depth", "openpose", "segmentation", "预处理器", "线稿", "深度图", "姿态", "線画", "ポーズ",
]  # fmt: skip


class HintNode(io.ComfyNode):
    """The node of one kind of hint, whose row says all about it."""

    KIND: HintKind

    @classmethod
    def define_schema(cls) -> io.Schema:
        kind = cls.KIND
        return io.Schema(
            node_id=cls.__name__,
            display_name=f"{kind.title} (SCEdit)",
            category="SCEdit/hints",
            description=kind.description,
            search_aliases=kind.aliases,
            inputs=[io.Image.Input("image", tooltip=kind.image), *_settings(kind)],
            outputs=[io.Image.Output(display_name="hint", tooltip=f"For {kind.control}.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, **settings: Any) -> io.NodeOutput:
        return show(cls, cls.KIND.draw(image, {**_defaults(_settings(cls.KIND)), **settings}))


class SCEditCanny(HintNode):
    """Canny edges as the canny controllers expect them."""

    KIND = KINDS["canny"]


class SCEditColor(HintNode):
    """Colour blocks as the colour controllers expect them."""

    KIND = KINDS["color"]


class SCEditMaskedImage(HintNode):
    """The cut-out that inpainting controllers expect."""

    KIND = KINDS["masked image"]


class SCEditSketch(HintNode):
    """The lines of a drawing or scan, as canny controllers expect edges."""

    KIND = KINDS["sketch"]


class SCEditHED(HintNode):
    """Soft edges as the HED controllers expect them."""

    KIND = KINDS["hed"]


class SCEditDepth(HintNode):
    """Depth as the depth controllers expect it."""

    KIND = KINDS["depth"]


class SCEditPose(HintNode):
    """Poses as the pose controllers expect them."""

    KIND = KINDS["pose"]


class SCEditSegmentation(HintNode):
    """Classes as segmentation controllers expect them."""

    KIND = KINDS["segmentation"]


class SCEditPreprocess(io.ComfyNode):
    """Any hint, chosen in the node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        options = [io.DynamicCombo.Option(name, _own_settings(kind)) for name, kind in KINDS.items()]
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
        kind = KINDS.get(condition["condition"])
        if kind is None:
            known = ", ".join(KINDS)
            raise SCEditError(
                f"condition is one of {known}, got '{condition['condition']}'; choose one of them"
            )
        return show(cls, draw_at(kind.draw, kind.net_resolution, image, condition, resolution, keep_size))


def _own_settings(kind: HintKind) -> list[io.Input]:
    """What is asked for a kind, wherever the size is chosen."""
    return kind.inputs() if kind.net_resolution is None else [*kind.inputs(), _download()]


def _settings(kind: HintKind) -> list[io.Input]:
    """What its own node asks."""
    if kind.net_resolution is None:
        return kind.inputs()
    return [*kind.inputs(), _resolution(kind.net_resolution), _download()]


def _defaults(inputs: list[io.Input]) -> Mapping[str, Any]:
    return {one.id: one.default for one in inputs if isinstance(one, io.WidgetInput)}


def _resolution(default: int) -> io.Int.Input:
    return io.Int.Input(
        "resolution",
        default=default,
        min=0,
        max=4096,
        step=64,
        optional=True,
        tooltip="Short side in pixels at which the net looks at the picture; 0 means the picture's own. The "
        "hint keeps the picture's size. Lower finds coarser things and takes less memory.",
    )


def _download() -> io.Boolean.Input:
    return io.Boolean.Input(
        "download",
        default=False,
        optional=True,
        tooltip="Fetch the weights once from Hugging Face if they are not on this computer. Off, the node "
        "never goes online.",
    )
