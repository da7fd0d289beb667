"""Nodes that put one tuner into a MODEL."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import widgets
from .patching.conditions import Condition
from .patching.patch import install
from .sockets import CONTROL, TUNER
from .telling import note_misfit


class SCEditApplySCTuner(io.ComfyNode):
    """Put a style into a MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditApplySCTuner",
            display_name="Apply SC-Tuner (SCEdit)",
            category="SCEdit",
            description="Edits the skip connections of the model with an SC-Tuner. Several can be chained.",
            search_aliases=[
                "scedit",
                "style",
                "lora",
                "sc tuner",
                "应用微调器",
                "风格",
                "スタイル",
                "스타일",
            ],
            inputs=[
                widgets.model(),
                TUNER.Input("tuner", tooltip="From 'Load SC-Tuner'."),
                widgets.strength(
                    "strength", "Strength of the style: 0 off, 1 as trained, linear above and below."
                ),
                *widgets.when_and_where(),
            ],
            outputs=[io.Model.Output(tooltip="The model with the style.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        tuner: Any,
        strength: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Add the style to a clone of the model."""
        style = Condition(tuner, None, strength, start_percent, end_percent, mask)
        return io.NodeOutput(install(model, [style]))


class SCEditApplyCSCTuner(io.ComfyNode):
    """Steer a MODEL by one hint image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditApplyCSCTuner",
            display_name="Apply CSC-Tuner (SCEdit)",
            category="SCEdit",
            description="Steers the model by a hint image. Several can be chained; their effects add up.",
            search_aliases=[
                "scedit",
                "controlnet",
                "apply controlnet",
                "t2i adapter",
                "canny",
                "csc tuner",
                "应用控制",
                "制御",
            ],
            inputs=[
                widgets.model(),
                CONTROL.Input("control", tooltip="From 'Load CSC-Tuner'."),
                widgets.hint_image(),
                widgets.strength(
                    "strength", "Strength of the control: 0 off, 1 as trained, linear above and below."
                ),
                *widgets.when_and_where(),
            ],
            outputs=[io.Model.Output(tooltip="The model with the control.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        control: Any,
        image: Tensor,
        strength: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Add the control to a clone of the model."""
        condition = Condition(control, image, strength, start_percent, end_percent, mask)
        return io.NodeOutput(install(model, [condition]), ui=note_misfit(control, image))
