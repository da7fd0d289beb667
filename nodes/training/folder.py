"""The node that reads a folder of training pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.latest import io

from ...scedit_core import SCEditError
from ...scedit_core.training.dataset.folder import (
    ANNOTATORS,
    NO_HINT,
    READY_HINT,
    FolderSettings,
    below,
    caption_texts,
    describe_folder,
    plan_crops,
    scan,
)
from ..telling import say, told
from ..widgets import about, choice
from .encode import encode_pictures, encode_texts, with_sizes
from .folder_list import folder_fingerprint, folder_names, folder_path
from .picture_inputs import example_outputs, hint_inputs, picture_inputs


def _progress(total: int) -> Callable[[], None]:
    """A function to call after each piece of work: moves the node's bar, stops if the user cancelled."""
    bar = comfy.utils.ProgressBar(total)

    def tick() -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update(1)

    return tick


def _data_inputs() -> list[io.Input]:
    """The folder, the parts of the model that encode it, and the kind of hint."""
    return [
        io.Combo.Input(  # without a default: the list changes with the folders
            "folder",
            options=folder_names(),
            tooltip="A folder of pictures in ComfyUI's input folder, or in a path given for "
            "'scedit_datasets' in extra_model_paths.yaml. A caption is a .txt file with the picture's name.",
        ),
        io.Vae.Input("vae", tooltip="VAE of the model that is to be trained."),
        io.Clip.Input("clip", tooltip="Text encoder of the model that is to be trained."),
        choice(
            "hint",
            [NO_HINT, *ANNOTATORS, READY_HINT],
            "What a control learns to follow: edges, colours, cut-outs or lines of drawings, drawn with "
            "random settings, or ready pictures in a folder of hints. none: for a style.",
        ),
    ]


class SCEditTrainingFolder(io.ComfyNode):
    """Reads a folder of pictures with captions, reads or draws their hints, and encodes them for training."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Training Folder", "training"),
            is_experimental=True,
            is_output_node=True,  # so that it runs without a training behind it
            inputs=[*_data_inputs(), *picture_inputs(), *hint_inputs()],
            outputs=example_outputs("What was found and what was left out."),
        )

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Refuse a missing folder before anything runs; accepts either slash in saved graphs."""
        try:
            if folder is not None:
                folder_path(folder)
        except SCEditError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls, folder: str, hint: str = NO_HINT, hint_folder: str = "hints", **_widgets: Any
    ) -> Any:
        """Read again when a file was added, changed, renamed or removed. ComfyUI compares the widgets."""
        pictures = folder_path(folder)
        hints = [below(pictures, hint_folder)] if hint == READY_HINT else []
        return folder_fingerprint(pictures, *hints)

    @classmethod
    def execute(cls, folder: str, vae: Any, clip: Any, **widgets: Any) -> io.NodeOutput:
        settings = FolderSettings(**widgets)
        found = scan(folder_path(folder), settings.hint_folder if settings.hint == READY_HINT else None)
        captions = caption_texts(found, settings)
        tick = _progress(2 * len(captions))
        crops = plan_crops(found, settings, tick)
        report = describe_folder(found, crops, captions, settings)
        say(report)
        encoded = encode_texts(clip, ["", *captions])
        latents, hints = [], []
        for latent, drawn in encode_pictures(vae, found, crops, [settings]):
            latents.append(latent)
            hints += drawn
            tick()
        positive = [with_sizes(encoded[caption], crop) for caption, crop in zip(captions, crops, strict=True)]
        return io.NodeOutput(latents, positive, encoded[""], hints, report, ui=told(report))
