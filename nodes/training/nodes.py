"""Nodes that train tuners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...scedit_core import EncoderSize, SCEditError, SkipLayout, TunerSpec
from ...scedit_core.spec import StemSize, published_stem
from ..files.hosted import HostedTuners
from ..patching.conditions import skip_layout
from ..sockets import CONTROL, TUNER
from ..widgets import KEEPS_PREVIEW
from .run import train_tuners
from .widgets import (
    data_inputs,
    fine_inputs,
    keeping_inputs,
    run_inputs,
    scalars,
    shape_inputs,
    to_blocks,
    to_training_set,
)

_MOST_CONTROLS = 4


class SCEditTrainSCTuner(io.ComfyNode):
    """Teach a style to a U-Net's skip connections."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditTrainSCTuner",
            display_name="Train SC-Tuner (SCEdit)",
            category="SCEdit/training",
            description="Learns a style from about 30 pictures. Cancel keeps what was learnt; queue again "
            "to go on.",
            search_aliases=[
                "scedit",
                "train lora",
                "fine-tune",
                "few-shot",
                "训练",
                "微调",
                "风格训练",
                "学習",
                "학습",
            ],
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
                *keeping_inputs(250),
            ],
            outputs=[
                TUNER.Output(display_name="tuner", tooltip="For 'Apply SC-Tuner' or 'Save Tuner'."),
                io.Image.Output(display_name="loss_plot", tooltip="The loss over the steps."),
                io.Int.Output(display_name="steps", tooltip="Steps done."),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        model: list[Any],
        latents: list[Any],
        positive: list[Any],
        tuner: list[HostedTuners] | None = None,
        empty: list[Any] | None = None,
        **widgets: list[Any],
    ) -> io.NodeOutput:
        """Train, or go on with an earlier training."""
        settings = scalars(widgets)
        layout = skip_layout(model[0])
        shape = (settings["ratio"], to_blocks(settings.get("blocks", "")), settings["tuner_op"])
        data = to_training_set(model[0], (latents, positive), (), empty, settings.get("buckets", True))
        done = train_tuners(model[0], [TunerSpec.sc(layout, *shape)], tuner or [], data, settings)
        return io.NodeOutput(done.tuners[0], done.plot, done.steps, ui=done.shown)


class SCEditTrainCSCTuner(io.ComfyNode):
    """Teach a control, or several together, to a U-Net's skip connections."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        row = io.Image.Input("hint", tooltip="One hint image per picture, in the same order.")
        template = io.Autogrow.TemplatePrefix(row, prefix="hint", min=1, max=_MOST_CONTROLS)
        return io.Schema(
            node_id="SCEditTrainCSCTuner",
            display_name="Train CSC-Tuner (SCEdit)",
            category="SCEdit/training",
            description="Learns to follow hint images. Several kinds of hint are trained together, a "
            "control for each.",
            search_aliases=[
                "scedit",
                "train controlnet",
                "control training",
                "训练控制",
                "控制器训练",
                "学習",
                "학습",
            ],
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
                *_encoder_inputs(),
                CONTROL.Input(
                    "control",
                    optional=True,
                    tooltip="Controls to start from, one per kind of hint, in order.",
                ),
                *fine_inputs(),
                *keeping_inputs(1000),
            ],
            outputs=[
                CONTROL.Output(display_name="control0", tooltip="Follows hint0, the first."),
                io.Image.Output(display_name="loss_plot", tooltip="The loss over the steps."),
                io.Int.Output(display_name="steps", tooltip="Steps done."),
                *(
                    CONTROL.Output(
                        id=f"control{number}",
                        display_name=f"control{number}",
                        tooltip="Follows the hint of the same number.",
                    )
                    for number in range(1, _MOST_CONTROLS)
                ),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        model: list[Any],
        latents: list[Any],
        positive: list[Any],
        hints: io.Autogrow.Type,
        control: list[HostedTuners] | None = None,
        empty: list[Any] | None = None,
        **widgets: list[Any],
    ) -> io.NodeOutput:
        """Train, or go on with an earlier training."""
        settings = scalars(widgets)
        layout = skip_layout(model[0])
        rows = [images for images in hints.values() if images]
        if not rows:
            raise SCEditError(
                "no hints came in: connect a list of hint images; on 'Training Folder' choose what they show"
            )
        data = to_training_set(model[0], (latents, positive), rows, empty, settings.get("buckets", True))
        shape = (settings["ratio"], to_blocks(settings.get("blocks", "")), settings["tuner_op"])
        specs = [TunerSpec.csc(layout, *shape, encoder=_encoder(settings, layout))] * len(rows)
        done = train_tuners(model[0], specs, control or [], data, settings)
        # a socket without a control stops what hangs on it, silently, as the host's switches do
        others = [*done.tuners[1:], *[ExecutionBlocker(None)] * (_MOST_CONTROLS - len(done.tuners))]
        return io.NodeOutput(done.tuners[0], done.plot, done.steps, *others, ui=done.shown)


def _encoder_inputs() -> list[io.Input]:
    """Size of the hint encoder."""
    return [
        io.Int.Input(
            "kernel",
            default=1,
            min=1,
            max=3,
            step=2,
            tooltip="Size of the dense hint convs: 1 is small (29M weights on SD 1.5), 3 finer (99M), as "
            "published.",
        ),
        io.Boolean.Input(
            "dual_conv",
            default=False,
            optional=True,
            advanced=True,
            tooltip="A pair of convs for each dense hint conv: 3x3 to a fifth of the width, then 1x1.",
        ),
        io.Int.Input(
            "hint_channels",
            default=0,
            min=0,
            max=4096,
            optional=True,
            advanced=True,
            tooltip="Channels that the hint is brought to. 0: as published (256 for SD, 320 for SDXL).",
        ),
        io.Float.Input(
            "stem_ratio",
            default=0.0,
            min=0.0,
            max=8.0,
            step=0.125,
            optional=True,
            advanced=True,
            tooltip="Width of the convs before that. 0: as published (1 for SD, 2 for SDXL).",
        ),
    ]


def _encoder(settings: Mapping[str, Any], layout: SkipLayout) -> EncoderSize:
    usual = published_stem(layout)
    stem = StemSize(
        settings.get("stem_ratio", 0) or usual.ratio, settings.get("hint_channels", 0) or usual.out
    )
    return EncoderSize(settings["kernel"], stem, settings.get("dual_conv", False))
