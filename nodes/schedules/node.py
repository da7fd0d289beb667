"""The node that makes a schedule of strength, shows it, and says what the steps of a sampling hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch
from comfy_api.latest import io, ui

from ...scedit_core.curve import Curve
from ...scedit_core.errors import listed
from ...scedit_core.pictures.schedule_plot import plot_schedule
from ...scedit_core.schedule import Points, read_schedule, unheard
from .. import widgets
from ..telling import told
from .shapes import SHAPES, text_of
from .steps import places_of_steps

_MOST_TOLD = 20  # steps, and points that none hears


class SCEditSchedule(io.ComfyNode):
    """Makes the text of a strength schedule from a shape, and shows it as a plot."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        options = [io.DynamicCombo.Option(name, shape.inputs()) for name, shape in SHAPES.items()]
        return io.Schema(
            **widgets.about(cls, "Schedule", ""),
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="With a model, the plot marks where the sampling's steps fall, and the node says "
                    "which points of the schedule lie between two steps and change nothing.",
                ),
                io.DynamicCombo.Input(
                    "shape",
                    options=options,
                    tooltip="How the factor of the strength changes while the picture is made. 'own text' "
                    "shows a schedule that you write.",
                ),
                widgets.choice(
                    "scheduler",
                    comfy.samplers.SCHEDULER_NAMES,
                    "The sampler's scheduler, for the marks. Used if a model is connected.",
                    **widgets.OPTIONAL,
                ),
                widgets.whole(
                    "steps",
                    20,
                    (1, 10_000),
                    "The sampler's steps, for the marks. Used if a model is connected.",
                    **widgets.OPTIONAL,
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="schedule",
                    tooltip="For the schedule of nodes that have a strength: part of the denoising : factor.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, shape: dict[str, Any], model: Any = None, scheduler: str = "normal", steps: int = 20
    ) -> io.NodeOutput:
        text = text_of(shape)
        curve = read_schedule(text)
        if curve is None:
            return io.NodeOutput("", ui=told("an empty schedule: the factor is 1 throughout"))
        places = [] if model is None else places_of_steps(model, scheduler, steps)
        silent = unheard(curve, places) if places else ()
        plot = torch.from_numpy(plot_schedule(curve, places, silent).copy())[None] / 255
        said = "\n".join([text, *_facts(curve, places, silent)])
        shown = {**ui.PreviewImage(plot, cls=cls).as_dict(), **told(said).as_dict()}
        return io.NodeOutput(text, ui=shown)


def _facts(curve: Curve, places: Sequence[float], silent: Points) -> list[str]:
    """What the steps hear, and what they do not, a line each."""
    if not places:
        return []
    heard = listed([f"{curve.at(place):.3g}" for place in places], _MOST_TOLD)
    lines = [f"at the {len(places)} steps: {heard}"]
    if silent:
        points = listed([f"{place:.4g}:{factor:.4g}" for place, factor in silent], _MOST_TOLD)
        lines.append(
            f"no step hears {points}: they lie between the steps; take more, or move points to one of "
            f"{listed([f'{place:.3g}' for place in places], _MOST_TOLD)}"
        )
    return lines
