"""The node that converts tuner files."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ...scedit_core.convert import LAYOUTS, OWN, PUBLISHED, convert
from .. import widgets
from .choice import ReadsTuner, tuner_name
from .folders import new_tuner, own_folder, tuner_fingerprint, tuner_path


class SCEditConvertTuner(ReadsTuner):
    """Writes any tuner that can be loaded as this pack's safetensors, or as the authors' published folder.
    No number changes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Convert Tuner", "loaders"),
            is_output_node=True,
            inputs=[
                tuner_name(),
                io.String.Input(
                    "name", default="converted", tooltip="Name in models/scedit; folders are allowed."
                ),
                io.Combo.Input(
                    "layout",
                    options=list(LAYOUTS),
                    default=OWN,
                    tooltip="SCEdit: one safetensors file with metadata, mapped into memory when loaded. "
                    "scepter: a folder as the authors publish them, for their framework; it has no metadata.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="tuner_name", tooltip="Name under which a loader finds it, after pressing R."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, tuner_name: str, name: str = "", layout: str = OWN) -> Any:
        """Convert again when the file changed."""
        return (tuner_fingerprint(tuner_name), name, layout)

    @classmethod
    def execute(cls, tuner_name: str, name: str, layout: str = OWN) -> io.NodeOutput:
        target = new_tuner(name, replace=False, suffix="" if layout == PUBLISHED else ".safetensors")
        source = convert(tuner_path(tuner_name), target, layout)
        saved = target.relative_to(own_folder()).as_posix()
        return io.NodeOutput(saved, ui=ui.PreviewText(f"{source.format_name} -> {layout}: {target}"))
