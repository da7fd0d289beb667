"""The node that prepares a data set on disk."""

from __future__ import annotations

import hashlib
import io as bytes_io
import time
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image

from ...scedit_core import SCEditError
from ...scedit_core.training.dataset.folder import ANNOTATORS, NO_HINT, READY_HINT
from ...scedit_core.training.dataset.shards import Prepared, open_dataset
from ...scedit_core.training.dataset.shards.drawing import NET_HINTS, Drawn, PrepareSettings
from ...scedit_core.training.dataset.shards.manifest import is_whole
from ...scedit_core.training.dataset.shards.places import open_sources
from ...scedit_core.training.dataset.shards.prepare import Watch
from ...scedit_core.training.dataset.shards.sources import LeftOut
from ...scedit_core.training.spans import minutes
from ..sockets import DATASET, HostedDataset
from ..telling import say, show_pictures
from ..widgets import ADVANCED, KEEPS_PREVIEW, OPTIONAL, about, choice, switch, text
from .folder_list import source_names, source_path
from .picture_inputs import hint_inputs, picture_inputs
from .preparing import dataset_path, prepare_dataset

_KINDS = (NO_HINT, *ANNOTATORS, *NET_HINTS, READY_HINT)
_MOST_KINDS = 4  # controls that are trained together
_SAY_EVERY, _SHOW_EVERY = 0.5, 3.0  # seconds
_SHOWN = 256  # pixels, the height of a preview


class _View(Watch):
    """Says on the node how far it is, shows what it makes, and stops if the user cancelled."""

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(1)
        self._began, self._said, self._shown = time.monotonic(), 0.0, 0.0
        self.pictures: list[Any] = []

    def tick(self) -> None:
        """Stop if the user cancelled."""
        comfy.model_management.throw_exception_if_processing_interrupted()

    def found(self, pictures: int) -> None:
        """Say how many pictures were counted."""
        self.tick()
        if self._is_due():
            say(f"{pictures:,} pictures found so far")

    def done(self, number: int, total: int, last: tuple[Drawn, Prepared]) -> None:
        """Say and show how far it is."""
        self.tick()
        if number == 1:
            self._began = time.monotonic()
        self._bar.update_absolute(number, total)
        if self._is_due():
            pace = (time.monotonic() - self._began) / number
            say(f"{number:,} of {total:,} pictures, {minutes(pace * (total - number))} left")
        if time.monotonic() - self._shown > _SHOW_EVERY:
            self.pictures = ui.PreviewImage(_strip(*last)).as_dict()["images"]
            show_pictures(self.pictures)
            self._shown = time.monotonic()

    def _is_due(self) -> bool:
        is_due = time.monotonic() - self._said > _SAY_EVERY
        self._said = time.monotonic() if is_due else self._said
        return is_due


def _strip(one: Drawn, prepared: Prepared) -> torch.Tensor:
    """A picture and the first drawing of each of its hints, side by side, as an IMAGE."""
    hints = [Image.open(bytes_io.BytesIO(drawings[0])).convert("RGB") for drawings in prepared.hints]
    height, width = one.picture.shape[:2]
    size = (max(1, round(width * _SHOWN / height)), _SHOWN)
    each = [np.asarray(image.resize(size)) for image in (Image.fromarray(one.picture), *hints)]
    return torch.from_numpy(np.concatenate(each, axis=1)).float()[None] / 255


def _source_inputs() -> list[io.Input]:
    """The pictures, the parts of the model that read them, and where the set goes."""
    return [
        io.Combo.Input(  # without a default: the list changes with the folders
            "folder",
            options=source_names(),
            tooltip="A folder of pictures, with all folders in it; a folder of .tar shards with pictures and "
            "captions; or a .csv or .jsonl list of paths and captions. In ComfyUI's input folder, or in a "
            "path given for 'scedit_datasets' in extra_model_paths.yaml.",
        ),
        io.Vae.Input("vae", tooltip="VAE of the model that is to be trained."),
        text(
            "name",
            "my_dataset",
            "Folder of the data set, in output/scedit_datasets. A set of that name is brought up to date: "
            "what is unchanged is not touched.",
        ),
        choice(
            "hint0",
            _KINDS,
            "What the first control learns to follow: drawn with random settings (canny, color, masked "
            "image, sketch), by a net (hed, depth, pose, segmentation), or ready pictures. none: for a "
            "style.",
        ),
    ]


def _more_hints() -> list[io.Input]:
    """Further kinds, for controls that are trained together."""
    return [
        choice(f"hint{number}", _KINDS, "A further kind of hint, for a control trained together.", **ADVANCED)
        for number in range(1, _MOST_KINDS)
    ]


class SCEditPrepareDataset(io.ComfyNode):
    """Encodes pictures and draws their hints once, into a data set on disk. Cancel keeps what is done."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Prepare Dataset", "training"),
            is_experimental=True,
            is_output_node=True,  # so that it runs without a training behind it
            inputs=[
                *_source_inputs(),
                *picture_inputs(),
                io.Clip.Input(
                    "clip",
                    tooltip="Text encoder of the model: it reads the captions in training.",
                    **OPTIONAL,
                ),
                *hint_inputs(),
                *_more_hints(),
                switch(
                    "enlarge",
                    True,
                    "Pictures smaller than the resolution are scaled up. Off: they are trained at their own "
                    "size, in steps of 64.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                DATASET.Output(display_name="dataset", tooltip="For the training nodes."),
                io.String.Output(display_name="report", tooltip="What was prepared and what was left out."),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Refuse a missing source before anything runs; accepts either slash in saved graphs."""
        try:
            if folder is not None:
                source_path(folder)
        except SCEditError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls, folder: str, name: str = "", hint_folder: str = "hints", **widgets: Any
    ) -> Any:
        """Prepared again when a file was added, changed or removed, and when the set itself is not whole."""
        has_ready_hints = READY_HINT in widgets.values()
        digest = hashlib.sha256()
        for source in open_sources(source_path(folder), hint_folder if has_ready_hints else None).walk(
            LeftOut()
        ):
            digest.update(source.stamp().to_bytes(8, "big"))
        return digest.hexdigest(), is_whole(dataset_path(name))

    @classmethod
    def execute(cls, folder: str, vae: Any, name: str, clip: Any = None, **widgets: Any) -> io.NodeOutput:
        place, target, view = source_path(folder), dataset_path(name), _View()
        report = prepare_dataset(vae, place, target, _settings(widgets), view).text()
        say(report, is_last=True)
        dataset = HostedDataset(target, open_dataset(target), clip)
        return io.NodeOutput(dataset, report, ui={"text": (report,), "images": view.pictures})


def _settings(widgets: dict[str, Any]) -> PrepareSettings:
    """The widgets in the core's own words: kinds of hints in order, those that are none left out."""
    kinds = [widgets.pop(f"hint{number}", NO_HINT) for number in range(_MOST_KINDS)]
    return PrepareSettings(hints=tuple(kind for kind in kinds if kind != NO_HINT), **widgets)
