"""From one condition to another (paper, Fig. 9b), and styles among conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..scedit_core import SCEditError
from ..scedit_core.curve import Curve
from . import acting, widgets
from .patching.conditions import Condition
from .sockets import CONDITION, TUNER

Bundle = tuple[Condition, ...]


class SCEditBlendConditions(io.ComfyNode):
    """Travels from one condition to another: a part of the way, or all of it across a batch of latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Blend Conditions", ""),
            inputs=[
                CONDITION.Input(
                    "first",
                    tooltip="Where the way begins: a 'Condition', a 'Style Condition' or a bundle. Not "
                    "connected: the plain model.",
                    optional=True,
                ),
                CONDITION.Input(
                    "second", tooltip="Where it ends. Not connected: the plain model.", optional=True
                ),
                widgets.number(
                    "blend",
                    0.5,
                    (0.0, 1.0),
                    "How far: 0 is the first alone, 1 the second alone. Weights of the first are multiplied "
                    "by 1 - blend, those of the second by blend.",
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                ),
                widgets.switch(
                    "across_batch",
                    False,
                    "Give each latent of the batch its own part of the way, from the first alone to the "
                    "second alone; blend does not count then.",
                ),
            ],
            outputs=[
                CONDITION.Output(
                    display_name="conditions", tooltip="For 'Apply Conditions' or 'Apply to Prompt'."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        first: Bundle | None = None,
        second: Bundle | None = None,
        blend: float = 0.5,
        across_batch: bool = False,
    ) -> io.NodeOutput:
        if first is None and second is None:
            raise SCEditError("there is nothing to blend; connect a 'Condition' to first, second or both")
        if across_batch:
            return io.NodeOutput(_fading(first or (), 1.0, 0.0) + _fading(second or (), 0.0, 1.0))
        return io.NodeOutput(_weighed(first or (), 1 - blend) + _weighed(second or (), blend))


def _weighed(bundle: Bundle, factor: float) -> Bundle:
    return tuple(replace(condition, weight=condition.weight * factor) for condition in bundle)


def _fading(bundle: Bundle, begin: float, end: float) -> Bundle:
    """The same conditions, whose weights go from one factor to another over the latents of a batch."""
    curve = Curve(((0.0, begin), (1.0, end)))
    return tuple(
        replace(one, factors=replace(one.factors, batch=(*one.factors.batch, curve))) for one in bundle
    )


class SCEditStyleCondition(io.ComfyNode):
    """An SC-Tuner as a condition, to mix, blend and schedule styles, or to give one to a prompt alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Style Condition", ""),
            inputs=[
                TUNER.Input("tuner", tooltip="From 'Load SC-Tuner'."),
                widgets.strength("weight", "Weight of this style beside the others: 1 as trained."),
                *acting.inputs(),
            ],
            outputs=[
                CONDITION.Output(
                    display_name="condition",
                    tooltip="For 'Compose', 'Mix', 'Blend' or 'Apply Conditions', or 'Apply to Prompt'. "
                    "Styles act one on the other's result, in the order of the bundle.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        tuner: Any,
        weight: float = 1.0,
        **how: Any,
    ) -> io.NodeOutput:
        style = acting.condition(tuner, None, weight, **how)
        return io.NodeOutput((style,))
