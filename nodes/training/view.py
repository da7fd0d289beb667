"""What a training shows on its node: how far it is, its pictures, and how it ended."""

from __future__ import annotations

import logging
import time
from typing import Any

import comfy.utils
import numpy as np
import torch
from comfy_api.latest import ui
from einops import rearrange

from ...scedit_core.training import Trainer
from ...scedit_core.training.plot import plot_losses
from ..telling import say, show_pictures
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
        self.begin()

    def begin(self) -> None:
        """Count this run's steps and time from here."""
        self._first, self._began = self._trainer.step, time.monotonic()

    def note(self, line: str) -> None:
        """Show a line that stays above the progress, and log it."""
        if line not in self._said:
            self._said.append(line)
            _log.info("SCEdit: '%s' %s", self._name, line)
        say("\n".join(self._said))

    def step(self) -> None:
        """Show the step that was taken, and every now and then a preview beside the losses."""
        trainer = self._trainer
        if self._preview_every and trainer.step % self._preview_every == 0:
            self._preview = _to_image(draw_preview(trainer))
            show_pictures(self._pictures())
        say("\n".join([*self._said, self._progress()]))
        self._bar.update_absolute(trainer.step, trainer.config.steps)

    def end(self) -> None:
        """Say how it ended, done or stopped; this stays on the node and in the saved graph."""
        self._ended = "\n".join([*self._said, self._last()])
        say(self._ended, is_last=True)

    def shown(self) -> dict[str, Any]:
        """What stays on the node when it is done, for the `ui` of its output."""
        return {"text": (self._ended,), "images": self._pictures()}

    def _pictures(self) -> list[Any]:
        plot = loss_plot(self._trainer)
        each = [plot] if self._preview is None else [self._preview, plot]
        return [file for picture in each for file in ui.PreviewImage(picture).as_dict()["images"]]

    def _progress(self) -> str:
        trainer = self._trainer
        pace = (time.monotonic() - self._began) / max(1, trainer.step - self._first)
        left = pace * (trainer.config.steps - trainer.step)
        recent = trainer.losses[-50:]
        return (
            f"step {trainer.step} of {trainer.config.steps}, loss {sum(recent) / len(recent):.4f}, "
            f"{pace:.2f} s per step, {minutes(left)} left"
        )

    def _last(self) -> str:
        step, steps = self._trainer.step, self._trainer.config.steps
        if step < steps:
            return f"stopped at step {step} of {steps}, kept; run again to go on"
        took = minutes(time.monotonic() - self._began)
        return f"done, {steps} steps, {took}" if step > self._first else f"done before, {steps} steps"


def loss_plot(trainer: Trainer) -> torch.Tensor:
    """The loss curve as an IMAGE (1, H, W, 3)."""
    return _to_image(plot_losses(trainer.losses))


def _to_image(pixels: np.ndarray) -> torch.Tensor:
    """IMAGE (1, H, W, 3), 0..1, from uint8 (H, W, 3); copied, as Pillow's pixels may not be written to."""
    return rearrange(torch.from_numpy(pixels.copy()), "h w c -> 1 h w c").float() / 255


def minutes(seconds: float) -> str:
    """A span of time in seconds, minutes or hours, such as '12 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
