"""The node that shows how a training job is, wherever it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import comfy.model_management
import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.training.dataset.buckets import Crop
from ...scedit_core.training.dataset.pictures import load_picture, size_or_reason
from ...scedit_core.training.job.results import Results, in_words
from ...scedit_core.training.plot import plot_losses
from ..telling import say, show_pictures
from ..widgets import KEEPS_PREVIEW, OPTIONAL, about, switch
from .job_folders import job_names, job_path

_BETWEEN = 2.0  # seconds between two looks


class SCEditWatchTrainingJob(io.ComfyNode):
    """Shows progress, loss and samples of a training job, also one that other computers work on, and stops
    it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Watch Training Job", "training"),
            is_experimental=True,
            is_output_node=True,
            inputs=[
                io.Combo.Input(  # without a default: the list changes with the folders
                    "job",
                    options=job_names(),
                    tooltip="A job's folder in output/scedit_jobs, or in a path given for 'scedit_jobs' in "
                    "extra_model_paths.yaml, such as a disk that a cluster writes to.",
                ),
                switch(
                    "wait",
                    False,
                    "Stay here until the job ends and show what it does. Cancel leaves the job alone. Off: "
                    "one look.",
                    **OPTIONAL,
                ),
                switch(
                    "stop",
                    False,
                    "Have the job end after its step, with all that it takes to go on, by a file in its "
                    "folder. Switch it off again before the job is started anew.",
                    **OPTIONAL,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="samples", tooltip="The newest sheet of samples, else the losses."
                ),
                io.Image.Output(display_name="loss_plot", tooltip="The loss over the steps."),
                io.Int.Output(display_name="step", tooltip="Steps done."),
                io.String.Output(display_name="report", tooltip="What is shown on the node."),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def validate_inputs(cls, job: str | None = None) -> bool | str:
        """Refuse a missing job before anything runs; accepts either slash in saved graphs."""
        try:
            if job is not None:
                job_path(job)
        except SCEditError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, job: str, **_widgets: Any) -> Any:
        """Looked at again each time: a job changes by itself."""
        return str(job_path(job)), time.time_ns()

    @classmethod
    def execute(cls, job: str, wait: bool = False, stop: bool = False) -> io.NodeOutput:
        results = Results(job_path(job))
        if stop:
            results.ask_to_stop()
        look = Look(job, results)
        while wait and look.is_running:
            say(look.text)
            look.show()
            _pause()
            look = Look(job, results)
        say(look.text, is_last=True)
        shown = {"text": (look.text,), "images": look.show()}
        return io.NodeOutput(look.samples, look.plot, look.step, look.text, ui=shown)


class Look:
    """A job as it is now: what is to be said and shown of it."""

    def __init__(self, name: str, results: Results) -> None:
        self.told, self._status = results.read_metrics(), results.read_status()
        self.is_running = self._status is not None and self._status.state == "running"
        self.step = self.told[-1].step if self.told else 0
        self.text = f"{name}: {in_words(self._status, self.told, results.silence())}"
        self.plot = _to_image(plot_losses([one.loss for one in self.told]))
        self.samples = _newest(results.sheets(), self.plot)

    def show(self) -> list[Any]:
        """Show samples and losses on the node; what is shown."""
        each = [self.plot] if self.samples is self.plot else [self.samples, self.plot]
        images = [file for picture in each for file in ui.PreviewImage(picture).as_dict()["images"]]
        show_pictures(images)
        return images


def _newest(sheets: list[Path], otherwise: Tensor) -> Tensor:
    """The newest sheet that can be read: the last may be half copied."""
    for sheet in reversed(sheets[-3:]):
        size = size_or_reason(sheet)
        if not isinstance(size, str):
            return _to_image(load_picture(sheet, Crop(size, size)))
    return otherwise


def _to_image(pixels: np.ndarray) -> Tensor:
    """IMAGE (1, H, W, 3), 0..1, from uint8 (H, W, 3); copied, as Pillow's pixels may not be written to."""
    return torch.from_numpy(pixels.copy())[None].float() / 255


def _pause() -> None:
    """Wait until it is time for another look. Raises what ComfyUI raises when the user cancels."""
    until = time.monotonic() + _BETWEEN
    while time.monotonic() < until:
        comfy.model_management.throw_exception_if_processing_interrupted()
        time.sleep(0.1)
