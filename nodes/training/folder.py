"""The node that reads a folder of training pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import comfy.model_management
import comfy.utils
import node_helpers
import numpy as np
import torch
from comfy_api.latest import io
from einops import rearrange
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.training.dataset.buckets import Crop
from ...scedit_core.training.dataset.folder import (
    ANNOTATORS,
    NO_HINT,
    READY_HINT,
    Folder,
    FolderSettings,
    below,
    caption_texts,
    describe_folder,
    load_hints,
    plan_crops,
    scan,
)
from ...scedit_core.training.dataset.pictures import load_picture
from ..telling import say, told
from ..widgets import about, choice
from .folder_list import folder_fingerprint, folder_names, folder_path
from .picture_inputs import hint_inputs, picture_inputs


def _progress(total: int) -> Callable[[], None]:
    """A function to call after each piece of work: moves the node's bar, stops if the user cancelled."""
    bar = comfy.utils.ProgressBar(total)

    def tick() -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update(1)

    return tick


def _encode_texts(clip: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Conditioning by text, each encoded once; brackets are words of a caption, not weights."""
    encoded = {}
    for caption in dict.fromkeys(texts):
        comfy.model_management.throw_exception_if_processing_interrupted()
        encoded[caption] = clip.encode_from_tokens_scheduled(clip.tokenize(caption, disable_weights=True))
    return encoded


def _with_sizes(conditioning: Any, crop: Crop) -> Any:
    """A caption with the sizes that SDXL reads, as in its own training; other models ignore them."""
    return node_helpers.conditioning_set_values(conditioning, crop.sizes)


def _to_image(pixels: np.ndarray) -> Tensor:
    """IMAGE (N, H, W, 3), 0..1, from uint8 of the same shape."""
    return torch.from_numpy(pixels).float() / 255


def _encode_pictures(
    vae: Any, folder: Folder, crops: Sequence[Crop], settings: FolderSettings
) -> Iterator[tuple[dict[str, Tensor], Tensor | None]]:
    """Latent and hints (V, H, W, 3) of each picture, in order; None in place of hints if it has none."""
    for triplet, crop in zip(folder.triplets, crops, strict=True):
        picture = load_picture(triplet.picture, crop)
        hints = load_hints(triplet, crop, picture, settings)
        latent = {"samples": vae.encode(_to_image(rearrange(picture, "h w c -> 1 h w c")))}
        yield latent, None if hints is None else _to_image(hints)


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


def _outputs() -> list[io.Output]:
    each = {"is_output_list": True}
    return [
        io.Latent.Output(display_name="latents", tooltip="One per picture, for a training node.", **each),
        io.Conditioning.Output(display_name="positive", tooltip="The captions, in the same order.", **each),
        io.Conditioning.Output(display_name="empty prompt", tooltip="An empty caption, for caption_dropout."),
        io.Image.Output(
            display_name="hints",
            tooltip="A batch of hints per picture, in the same order; nothing if hint is none.",
            **each,
        ),
        io.String.Output(display_name="report", tooltip="What was found and what was left out."),
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
            outputs=_outputs(),
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
        encoded = _encode_texts(clip, ["", *captions])
        latents, hints = [], []
        for latent, drawn in _encode_pictures(vae, found, crops, settings):
            latents.append(latent)
            hints += [] if drawn is None else [drawn]
            tick()
        positive = [
            _with_sizes(encoded[caption], crop) for caption, crop in zip(captions, crops, strict=True)
        ]
        return io.NodeOutput(latents, positive, encoded[""], hints, report, ui=told(report))
