"""The node that says what a tuner file is."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...scedit_core import read_checkpoint
from ...scedit_core.files.describe import describe_checkpoint
from .. import widgets
from .choice import ReadsTuner, tuner_name
from .folders import tuner_path


class SCEditTunerInfo(ReadsTuner):
    """Shows what a tuner file is: kind, base model family, ranks, parameters, layout, metadata and
    SHA-256."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Tuner Info", "loaders"),
            is_output_node=True,
            inputs=[tuner_name()],
            outputs=[io.String.Output(display_name="text", tooltip="What is shown, one fact per line.")],
        )

    @classmethod
    def execute(cls, tuner_name: str) -> io.NodeOutput:
        text = describe_checkpoint(read_checkpoint(tuner_path(tuner_name)))
        return io.NodeOutput(text, ui=ui.PreviewText(text))
