"""Nodes that load tuner files."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ...scedit_core.spec import Kind
from .. import widgets
from ..sockets import CONTROL, TUNER
from .choice import ReadsTuner, check_kind, names_of_kind, tuner_name, wrong_tuner
from .folders import tuner_path
from .hosted import read_hosted

_log = logging.getLogger(__name__)


class _LoadTuner(ReadsTuner):
    """What both loaders do; they differ in the kind of tuner and in their texts."""

    KIND: Kind

    @classmethod
    def validate_inputs(cls, tuner_name: str | None = None) -> bool | str:
        """Refuse a missing file and one of the other kind before anything runs."""
        return wrong_tuner(tuner_name, cls.KIND)

    @classmethod
    def execute(cls, tuner_name: str) -> io.NodeOutput:
        checkpoint, hosted = read_hosted(tuner_name, tuner_path(tuner_name))
        check_kind(tuner_name, checkpoint.spec.kind, cls.KIND)
        for note in checkpoint.notes:
            _log.info("SCEdit: '%s': %s", tuner_name, note)
        return io.NodeOutput(hosted)


class SCEditLoadSCTuner(_LoadTuner):
    """Loads an SCEdit SC-Tuner (a style) from models/scedit."""

    KIND = "sc"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Load SC-Tuner", "loaders"),
            inputs=[tuner_name(names_of_kind("sc"))],
            outputs=[TUNER.Output(display_name="tuner", tooltip="For 'Apply SC-Tuner'.")],
        )


class SCEditLoadCSCTuner(_LoadTuner):
    """Loads an SCEdit CSC-Tuner (canny, color, depth, ... control) from models/scedit."""

    KIND = "csc"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Load CSC-Tuner", "loaders"),
            inputs=[tuner_name(names_of_kind("csc"))],
            outputs=[CONTROL.Output(display_name="control", tooltip="For 'Apply CSC-Tuner' or 'Condition'.")],
        )
