"""The node that says what a tuner file is."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...scedit_core import read_checkpoint
from ...scedit_core.files.describe import describe_checkpoint
from .choice import ReadsTuner, tuner_name
from .folders import tuner_path


class SCEditTunerInfo(ReadsTuner):
    """Show what a tuner file is: kind, family, sizes, format, metadata and SHA-256."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditTunerInfo",
            display_name="Tuner Info (SCEdit)",
            category="SCEdit/loaders",
            description="Shows what a tuner file is: kind, base model family, ranks, parameters, layout, "
            "metadata and SHA-256.",
            search_aliases=["scedit", "metadata", "sha256", "inspect", "model info", "查看信息", "元数据"],
            is_output_node=True,
            inputs=[tuner_name()],
            outputs=[io.String.Output(display_name="text", tooltip="What is shown, one fact per line.")],
        )

    @classmethod
    def execute(cls, tuner_name: str) -> io.NodeOutput:
        """Read the file and describe it."""
        text = describe_checkpoint(read_checkpoint(tuner_path(tuner_name)))
        return io.NodeOutput(text, ui=ui.PreviewText(text))
