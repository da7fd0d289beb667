"""The node that saves tuners."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import torch
from comfy_api.latest import io, ui

from ...scedit_core import CSCTunerSet, SCTunerSet, build_tuners, save_checkpoint
from ...scedit_core.convert import LAYOUTS, OWN, PUBLISHED, check_range
from ...scedit_core.files.published import write_published
from .. import widgets
from ..sockets import CONTROL, TUNER
from .folders import new_tuner, own_folder
from .hosted import HostedTuners

_DTYPES = {"as trained": None, "fp16": torch.float16, "bf16": torch.bfloat16}
_NUMBER, _REPLACE = "add a number", "replace it"
# widget -> what the modelspec standard, or ours where it has no word, calls it
_TEXTS = {
    "title": "modelspec.title",
    "trigger": "modelspec.trigger_phrase",
    "condition": "scedit.condition",
    "author": "modelspec.author",
    "description": "modelspec.description",
    "license": "modelspec.license",
}


class SCEditSaveTuner(io.ComfyNode):
    """Saves a tuner or a control to models/scedit, with what it was trained on in its metadata."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Save Tuner", "training"),
            is_output_node=True,
            inputs=[
                io.MultiType.Input(
                    "tuner", types=[TUNER, CONTROL], tooltip="From a training node, or a loader."
                ),
                io.String.Input(
                    "name", default="my_tuner", tooltip="File name in models/scedit; folders are allowed."
                ),
                io.Combo.Input(
                    "if_exists",
                    options=[_NUMBER, _REPLACE],
                    default=_NUMBER,
                    tooltip="What to do if there is a file of this name.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(_DTYPES),
                    default="as trained",
                    tooltip="Numbers in the file: fp16 and bf16 halve its size; as trained is exact.",
                ),
                io.Combo.Input(
                    "layout",
                    options=list(LAYOUTS),
                    default=OWN,
                    optional=True,
                    tooltip="SCEdit: one safetensors file with metadata. scepter: a folder as the authors "
                    "publish them, for their framework; it keeps no texts.",
                ),
                _text("title", "Name shown by tools that read metadata. Empty: the file name."),
                _text("trigger", "Word that calls the style, such as <sce>."),
                _text("condition", "What a control follows: canny, color, depth, ..."),
                _text("author", "Who made it."),
                _text("description", "What it does."),
                _text("license", "Terms of use."),
            ],
            outputs=[
                io.String.Output(
                    display_name="tuner_name", tooltip="Name under which a loader finds it, after pressing R."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        tuner: HostedTuners,
        name: str,
        if_exists: str,
        dtype: str,
        layout: str = OWN,
        **texts: str,
    ) -> io.NodeOutput:
        suffix = "" if layout == PUBLISHED else ".safetensors"
        target = new_tuner(name, replace=if_exists == _REPLACE, suffix=suffix)
        tuners = _converted(tuner, _DTYPES[dtype])
        if layout == PUBLISHED:
            write_published(tuners, target)
        else:
            save_checkpoint(tuners, target, _metadata(tuner, target, texts))
        files = [target, *target.rglob("*")] if target.is_dir() else [target]
        size = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
        saved = target.relative_to(own_folder()).as_posix()
        return io.NodeOutput(saved, ui=ui.PreviewText(f"saved {target} ({size:.1f} MB)"))


def _text(name: str, tooltip: str) -> io.String.Input:
    return io.String.Input(name, default="", optional=True, advanced=name != "trigger", tooltip=tooltip)


def _converted(hosted: HostedTuners, dtype: torch.dtype | None) -> SCTunerSet | CSCTunerSet:
    """A copy of the tuners on the CPU, as they are or in another dtype."""
    state = hosted.patcher.model.state_dict()
    dtype = dtype or next(iter(state.values())).dtype
    check_range(state, dtype)
    tuners = build_tuners(hosted.patcher.model.spec, device=torch.device("cpu"), dtype=dtype)
    tuners.load_state_dict(state)
    return tuners


def _metadata(hosted: HostedTuners, target: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """What the tuner brings, with the user's words over it; a file saved again keeps its date and title."""
    given = {key: texts[name] for name, key in _TEXTS.items() if texts.get(name)}
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"modelspec.title": target.stem, "modelspec.date": date, **hosted.metadata, **given}
