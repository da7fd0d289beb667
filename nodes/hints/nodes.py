"""Nodes that make hint images from pictures: one for each row of KINDS, and one that offers them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...scedit_core import SCEditError
from .. import widgets
from .drawing import draw_at, show
from .kinds import KINDS, HintKind


class HintNode(io.ComfyNode):
    """The node of one kind of hint, whose row says all about it."""

    KIND: HintKind

    @classmethod
    def define_schema(cls) -> io.Schema:
        kind = cls.KIND
        return io.Schema(
            **widgets.about(cls, kind.title, "hints"),
            inputs=[io.Image.Input("image", tooltip=kind.image), *_settings(kind)],
            outputs=[io.Image.Output(display_name="hint", tooltip=f"For {kind.control}.")],
            **widgets.KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, **settings: Any) -> io.NodeOutput:
        return show(cls, cls.KIND.draw(image, {**_defaults(_settings(cls.KIND)), **settings}))


def _node(kind: HintKind) -> type[HintNode]:
    return type(
        kind.node_id, (HintNode,), {"KIND": kind, "__doc__": kind.description, "__module__": __name__}
    )


HINT_NODES = [_node(kind) for kind in KINDS.values()]


class SCEditPreprocess(io.ComfyNode):
    """Makes the hint for any kind of control, chosen in the node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        options = [io.DynamicCombo.Option(name, _own_settings(kind)) for name, kind in KINDS.items()]
        return io.Schema(
            **widgets.about(cls, "Any Hint", "hints"),
            inputs=[
                io.Image.Input("image", tooltip="The picture that should be followed."),
                io.DynamicCombo.Input(
                    "condition",
                    display_name="hint kind",
                    options=options,
                    tooltip="What the control was trained on. Each kind has its own settings below.",
                ),
                widgets.whole(
                    "resolution",
                    0,
                    (0, 8192),
                    "Short side, in pixels, at which the picture is looked at. 0: its own size; for "
                    "segmentation 512, at which its net learned.",
                ),
                widgets.switch(
                    "keep_size",
                    True,
                    "Scale the hint back to the picture's size. Off: it stays at that of resolution.",
                ),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a control of the chosen kind.")],
            **widgets.KEEPS_PREVIEW,
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
    """Inputs of a kind but for the resolution, which 'Any Hint' asks for once for all kinds."""
    return kind.inputs() if kind.net_resolution is None else [*kind.inputs(), _download()]


def _settings(kind: HintKind) -> list[io.Input]:
    """Inputs of a kind's own node, behind the image."""
    if kind.net_resolution is None:
        return kind.inputs()
    return [*kind.inputs(), _resolution(kind.net_resolution), _download()]


def _defaults(inputs: list[io.Input]) -> Mapping[str, Any]:
    return {one.id: one.default for one in inputs if isinstance(one, io.WidgetInput)}


def _resolution(default: int) -> io.Int.Input:
    tooltip = (
        "Short side in pixels at which the net looks at the picture; 0 means the picture's own. The hint "
        "keeps the picture's size. Lower finds coarser things and takes less memory."
    )
    return widgets.whole("resolution", default, (0, 4096), tooltip, step=64, **widgets.OPTIONAL)


def _download() -> io.Boolean.Input:
    tooltip = (
        "Fetch the weights once from Hugging Face if they are not on this computer. Off, the node never "
        "goes online."
    )
    return widgets.switch("download", False, tooltip, **widgets.OPTIONAL)
