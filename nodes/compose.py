"""Nodes that combine several controls by weights (paper, Eq. 7), for a MODEL or for one prompt."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..scedit_core import SCEditError
from . import acting, widgets
from .patching.conditions import Condition
from .patching.patch import install
from .patching.prompts import apply_to_prompt
from .sockets import CONDITION, CONTROL
from .telling import note_misfit

_MOST_CONDITIONS = 16


class SCEditCondition(io.ComfyNode):
    """One control with its hint image and weight, for 'Compose' or 'Apply Conditions'."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Condition", ""),
            inputs=[
                CONTROL.Input("control", tooltip="From 'Load CSC-Tuner'."),
                widgets.hint_image(),
                widgets.strength("weight", "Weight of this control beside the others (alpha in the paper)."),
                *acting.inputs(),
                widgets.priority(),
            ],
            outputs=[
                CONDITION.Output(display_name="condition", tooltip="For 'Compose' or 'Apply Conditions'.")
            ],
        )

    @classmethod
    def execute(
        cls,
        control: Any,
        image: Tensor,
        weight: float = 1.0,
        **how: Any,
    ) -> io.NodeOutput:
        condition = acting.condition(control, image, weight, **how)
        return io.NodeOutput((condition,), ui=note_misfit(control, image))


class SCEditComposeConditions(io.ComfyNode):
    """Combines separately trained controls, such as canny and color, by their weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        row = CONDITION.Input("condition", tooltip="From 'Condition' or another 'Compose Conditions'.")
        template = io.Autogrow.TemplatePrefix(row, prefix="condition", min=1, max=_MOST_CONDITIONS)
        return io.Schema(
            **widgets.about(cls, "Compose Conditions", ""),
            inputs=[
                io.Autogrow.Input("conditions", template=template, tooltip="The conditions to combine."),
                io.Boolean.Input(
                    "normalize",
                    default=False,
                    tooltip="Divide the weights by their sum, so that they add up to 1 as in the paper. "
                    "Off: each control acts at its own weight.",
                ),
            ],
            outputs=[CONDITION.Output(display_name="conditions", tooltip="For 'Apply Conditions'.")],
        )

    @classmethod
    def execute(cls, conditions: io.Autogrow.Type, normalize: bool = False) -> io.NodeOutput:
        bundle = tuple(condition for row in conditions.values() if row is not None for condition in row)
        return io.NodeOutput(_normalized(bundle) if normalize else bundle)


class SCEditApplyConditions(io.ComfyNode):
    """Steers the model by one or several combined conditions at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Apply Conditions", ""),
            inputs=[
                widgets.model(),
                CONDITION.Input("conditions", tooltip="From 'Compose Conditions' or a single 'Condition'."),
                widgets.strength(
                    "strength", "Strength of all conditions together, times the weight of each."
                ),
                widgets.schedule(),
            ],
            outputs=[io.Model.Output(tooltip="The model with the controls.")],
        )

    @classmethod
    def execute(
        cls, model: Any, conditions: tuple[Condition, ...], strength: float = 1.0, schedule: str = ""
    ) -> io.NodeOutput:
        return io.NodeOutput(install(model, _scheduled(conditions, schedule), strength))


class SCEditApplyToPrompt(io.ComfyNode):
    """Steers one prompt by one or several conditions; other prompts of the same run stay as they are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Apply to Prompt", ""),
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The prompt that is to be steered; it may have an area, a mask or ControlNets.",
                ),
                CONDITION.Input("conditions", tooltip="From 'Compose Conditions' or a single 'Condition'."),
                widgets.strength(
                    "strength", "Strength of all conditions together, times the weight of each."
                ),
                widgets.schedule(),
            ],
            outputs=[
                io.Conditioning.Output(
                    tooltip="The same prompt with the controls, for a sampler or what combines prompts."
                )
            ],
        )

    @classmethod
    def execute(
        cls, conditioning: Any, conditions: tuple[Condition, ...], strength: float = 1.0, schedule: str = ""
    ) -> io.NodeOutput:
        return io.NodeOutput(apply_to_prompt(conditioning, _scheduled(conditions, schedule), strength))


def _scheduled(bundle: tuple[Condition, ...], schedule: str) -> tuple[Condition, ...]:
    """The same conditions with a schedule of all of them, times that of each."""
    common = widgets.schedules(schedule)
    return tuple(replace(one, schedules=(*one.schedules, *common)) for one in bundle) if common else bundle


def _normalized(bundle: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The same conditions with weights that add up to 1."""
    weights = [condition.weight for condition in bundle]
    total = sum(weights)
    if math.isclose(total, 0, abs_tol=1e-6):
        raise SCEditError(
            f"the weights {weights} add up to 0 and cannot be normalized; raise one, or switch normalize off"
        )
    return tuple(replace(condition, weight=condition.weight / total) for condition in bundle)
