"""Nodes that put one tuner into a MODEL."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import widgets
from .files.presets import read_weights
from .patching.conditions import Condition
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
                *widgets.when_and_where(),
                widgets.schedule(),
                *widgets.by_skip_and_latent(),
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
        schedule: str = "",
        skip_weights: str = "",
        latent_weights: str = "",
    ) -> io.NodeOutput:
        style = Condition(
            tuner, None, strength, start_percent, end_percent, mask, widgets.schedules(schedule),
            widgets.by_latent(latent_weights), read_weights(skip_weights),
        )  # fmt: skip
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
                *widgets.when_and_where(),
                widgets.schedule(),
                *widgets.by_skip_and_latent(),
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
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        mask: Tensor | None = None,
        schedule: str = "",
        skip_weights: str = "",
        latent_weights: str = "",
        priority: str = "balanced",
    ) -> io.NodeOutput:
        condition = Condition(
            control, image, strength, start_percent, end_percent, mask, widgets.schedules(schedule),
            widgets.by_latent(latent_weights), read_weights(skip_weights), priority,
        )  # fmt: skip
        return io.NodeOutput(install(model, [condition]), ui=note_misfit(control, image))
