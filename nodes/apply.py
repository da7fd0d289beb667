"""Nodes that put one tuner into a MODEL."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import acting, widgets
from .patching.patch import install
from .sockets import CONTROL, TUNER
from .telling import note_misfit


class SCEditApplySCTuner(io.ComfyNode):
    """Edits the skip connections of the model with an SC-Tuner. Several can be chained."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Apply SC-Tuner", ""),
            inputs=[
                widgets.model(),
                TUNER.Input("tuner", tooltip="From 'Load SC-Tuner'."),
                widgets.strength(
                    "strength", "Strength of the style: 0 off, 1 as trained, linear above and below."
                ),
                *acting.inputs(),
            ],
            outputs=[io.Model.Output(tooltip="The model with the style.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        tuner: Any,
        strength: float = 1.0,
        **how: Any,
    ) -> io.NodeOutput:
        style = acting.condition(tuner, None, strength, **how)
        return io.NodeOutput(install(model, [style]))


class SCEditApplyCSCTuner(io.ComfyNode):
    """Steers the model by a hint image. Several can be chained; their effects add up."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Apply CSC-Tuner", ""),
            inputs=[
                widgets.model(),
                CONTROL.Input("control", tooltip="From 'Load CSC-Tuner'."),
                widgets.hint_image(),
                widgets.strength(
                    "strength", "Strength of the control: 0 off, 1 as trained, linear above and below."
                ),
                *acting.inputs(),
                widgets.priority(),
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
        **how: Any,
    ) -> io.NodeOutput:
        condition = acting.condition(control, image, strength, **how)
        return io.NodeOutput(install(model, [condition]), ui=note_misfit(control, image))
