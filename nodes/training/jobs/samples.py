"""Sheets of what a job has learnt so far: each hint beside the picture that is painted from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.sd
import numpy as np
import torch
from torch import Tensor

from ....scedit_core.pictures.sheet import compare_sheet
from ....scedit_core.training import Batch, Trainer
from ....scedit_core.training.dataset.examples import unit
from ....scedit_core.training.dataset.order import generator
from ....scedit_core.training.job.parts import RunPart
from ..preview import Look, sampled

_LONGEST = 512  # pixels of a cell


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture of a sheet: what it is painted from, what stands for no caption, and its label."""

    batch: Batch
    no_caption: Any
    label: str


class Sheets:
    """Paints the same samples from the same noise each time, so that sheets can be compared."""

    def __init__(self, samples: Sequence[Sample], run: RunPart, vae: Any) -> None:
        self._samples = samples
        self._run = run
        self._vae = vae

    def draw(self, trainer: Trainer) -> np.ndarray:
        """The sheet after this step: (H, W, 3), uint8."""
        cells, labels = [], []
        for number, one in enumerate(self._samples):
            draw = generator(trainer.config.seed, "sample", number)
            look = Look(self._run.sample_steps, self._run.cfg, draw)
            latent = sampled(trainer, one.batch, one.no_caption, look)
            cells += [unit(hint[0]) for hint in one.batch.hints]
            labels += [""] * len(one.batch.hints)
            cells.append(self._decoded(trainer, latent))
            labels.append(one.label)
        columns = len(cells) // len(self._samples)
        sheet = compare_sheet(cells, labels, columns * _across(len(self._samples)), _LONGEST)
        return (sheet.picture * 255).round().byte().cpu().numpy()

    @torch.no_grad()
    def _decoded(self, trainer: Trainer, latent: Tensor) -> Tensor:
        """The picture (3, H, W) of a latent."""
        base: Any = trainer.base
        vae = self._vae
        latent = base.latent_format.process_out(latent.cpu().float())
        picture = vae.process_output(vae.first_stage_model.decode(latent.to(vae.vae_dtype)).float())
        return picture[0].clamp(0, 1)


def vae_on_cpu(vae: Any) -> Any:
    """A VAE that decodes on the CPU: to load one beside a training would push the model off the card."""
    cpu = torch.device("cpu")
    return vae if vae.device == cpu else comfy.sd.VAE(sd=vae.get_sd(), device=cpu)


def samples_of(trainer: Trainer, run: RunPart, prompts: Sequence[Any]) -> list[Sample]:
    """Samples of the first pictures; of these `prompts`, encoded, where there are some."""
    data, made = trainer.data, []
    for number in range(min(run.samples, len(data))):
        batch = data.alone(number)
        label = ""
        if prompts:
            text = number % len(prompts)
            batch, label = replace(batch, captions=(prompts[text],)), run.prompts[text]
        made.append(Sample(batch, data.without_caption(number), label))
    return made


def _across(samples: int) -> int:
    """How many samples stand side by side."""
    return 1 if samples == 1 else 2
