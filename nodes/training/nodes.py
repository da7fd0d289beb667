"""Nodes that train tuners."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...scedit_core import TunerSpec
from ..files.hosted import HostedTuners
from ..patching.conditions import skip_layout
from ..sockets import CONTROL, TUNER
from ..widgets import KEEPS_PREVIEW, about
from .material import MOST_CONTROLS, Material
from .run import Lessons, train_tuners
from .teaching.asked import AskedTeacher
from .widgets import (
    data_inputs,
    encoder_inputs,
    fine_inputs,
    last_inputs,
    run_inputs,
    scalars,
    shape_inputs,
    to_encoder,
    to_shape,
)


class SCEditTrainSCTuner(io.ComfyNode):
    """Learns a style from about 30 pictures. Cancel keeps what was learnt; queue again to go on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Train SC-Tuner", "training"),
            is_experimental=True,
            is_input_list=True,
            inputs=[
                *data_inputs(),
                *run_inputs("my_style", 1500),
                *shape_inputs(),
                TUNER.Input(
                    "tuner", optional=True, tooltip="A tuner to start from, in place of a fresh one."
                ),
                *fine_inputs(),
                *last_inputs(250),
            ],
            outputs=[
                TUNER.Output(display_name="tuner", tooltip="For 'Apply SC-Tuner' or 'Save Tuner'."),
                *_run_outputs(),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        model: list[Any],
        tuner: list[HostedTuners] | None = None,
        **inputs: list[Any],
    ) -> io.NodeOutput:
        material, teacher = Material.taken(inputs), AskedTeacher.taken(inputs, model[0])
        settings, layout = scalars(inputs), skip_layout(model[0])
        data = material.training_set(model[0], None, settings.get("buckets", True))
        lessons = Lessons(data, material.models, teacher)
        spec = TunerSpec.sc(layout, *to_shape(settings))
        done = train_tuners(model[0], [spec], tuner or [], lessons, settings)
        return io.NodeOutput(done.tuners[0], done.plot, done.steps, ui=done.shown)


class SCEditTrainCSCTuner(io.ComfyNode):
    """Learns to follow hint images. Several kinds of hint are trained together, a control for each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        row = io.Image.Input("hint", tooltip="One hint image per picture, in the same order.")
        template = io.Autogrow.TemplatePrefix(row, prefix="hint", min=0, max=MOST_CONTROLS)
        return io.Schema(
            **about(cls, "Train CSC-Tuner", "training"),
            is_experimental=True,
            is_input_list=True,
            inputs=[
                *data_inputs(),
                io.Autogrow.Input(
                    "hints",
                    template=template,
                    tooltip="Hint images, a list for each control. A batch in the list is one picture's hint "
                    "drawn in several ways, of which each visit takes one.",
                ),
                *run_inputs("my_control", 10_000),
                *shape_inputs(),
                *encoder_inputs(),
                CONTROL.Input(
                    "control",
                    optional=True,
                    tooltip="Controls to start from, one per kind of hint, in order.",
                ),
                *fine_inputs(),
                *last_inputs(1000),
            ],
            outputs=[
                CONTROL.Output(display_name="control0", tooltip="Follows hint0, the first."),
                *_run_outputs(),
                *(
                    CONTROL.Output(
                        id=f"control{number}",
                        display_name=f"control{number}",
                        tooltip="Follows the hint of the same number.",
                    )
                    for number in range(1, MOST_CONTROLS)
                ),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        model: list[Any],
        hints: io.Autogrow.Type | None = None,
        control: list[HostedTuners] | None = None,
        **inputs: list[Any],
    ) -> io.NodeOutput:
        rows = [images for images in (hints or {}).values() if images]
        material, teacher = Material.taken(inputs), AskedTeacher.taken(inputs, model[0])
        settings, layout = scalars(inputs), skip_layout(model[0])
        data = material.training_set(model[0], rows, settings.get("buckets", True))
        lessons = Lessons(data, material.models, teacher)
        spec = TunerSpec.csc(layout, *to_shape(settings), encoder=to_encoder(settings, layout))
        specs = [spec] * data.examples.hints
        done = train_tuners(model[0], specs, control or [], lessons, settings)
        # a socket without a control stops what hangs on it, silently, as the host's switches do
        others = [*done.tuners[1:], *[ExecutionBlocker(None)] * (MOST_CONTROLS - len(done.tuners))]
        return io.NodeOutput(done.tuners[0], done.plot, done.steps, *others, ui=done.shown)


def _run_outputs() -> list[io.Output]:
    """How the training went."""
    return [
        io.Image.Output(display_name="loss_plot", tooltip="The loss over the steps."),
        io.Int.Output(display_name="steps", tooltip="Steps done."),
    ]
