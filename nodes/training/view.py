"""What a training shows on its node: how far it is, its pictures, and how it ended."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import ui
from einops import rearrange

from ...scedit_core.training import Trainer
from ...scedit_core.training.plot import plot_losses
from ..telling import say, show_pictures
from .course import Pace
from .preview import draw_preview

_log = logging.getLogger(__name__)


class TrainingView:
    """The text and the pictures on the node of one training.

    What was said before the first step stays above the line that tells how far it is.
    """

    def __init__(self, trainer: Trainer, name: str, preview_every: int) -> None:
        self._trainer = trainer
        self._name = name
        self._preview_every = preview_every
        self._preview: torch.Tensor | None = None
        self._bar = comfy.utils.ProgressBar(trainer.config.steps)
        self._said: list[str] = []
        self._ended = ""
        self._pace = Pace(trainer)

    def begin(self) -> None:
        """Count this run's steps and time from here."""
        self._pace.begin()

    def note(self, line: str) -> None:
        """Show a line that stays above the progress, and log it."""
        if line not in self._said:
            self._said.append(line)
            _log.info("SCEdit: '%s' %s", self._name, line)
        say("\n".join(self._said))

    def step(self) -> None:
        """Show the step that was taken, and every now and then a preview beside the losses.

        Raises what ComfyUI raises when the user cancels.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()  # the bar checks only now and then
        trainer = self._trainer
        if self._preview_every and trainer.step % self._preview_every == 0:
            self._preview = _to_image(draw_preview(trainer))
            show_pictures(self._pictures())
        say("\n".join([*self._said, self._pace.progress()]))
        self._bar.update_absolute(trainer.step, trainer.config.steps)

    def end(self) -> None:
        """Say how it ended, done or stopped; this stays on the node and in the saved graph."""
        self._ended = "\n".join([*self._said, self._pace.last()])
        say(self._ended, is_last=True)

    def shown(self) -> dict[str, Any]:
        """What stays on the node when it is done, for the `ui` of its output."""
        return {"text": (self._ended,), "images": self._pictures()}

    def _pictures(self) -> list[Any]:
        plot = loss_plot(self._trainer)
        each = [plot] if self._preview is None else [self._preview, plot]
        return [file for picture in each for file in ui.PreviewImage(picture).as_dict()["images"]]


def loss_plot(trainer: Trainer) -> torch.Tensor:
    """The loss curve as an IMAGE (1, H, W, 3)."""
    return _to_image(plot_losses(trainer.losses))


def _to_image(pixels: np.ndarray) -> torch.Tensor:
    """IMAGE (1, H, W, 3), 0..1, from uint8 (H, W, 3); copied, as Pillow's pixels may not be written to."""
    return rearrange(torch.from_numpy(pixels.copy()), "h w c -> 1 h w c").float() / 255
