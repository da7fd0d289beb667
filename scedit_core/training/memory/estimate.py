"""What a training will need, found by small trials of it: one way for all models, ops and options."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ...hint import PIXELS_PER_LATENT
from ..dataset.examples import Batch
from ..dataset.order import generator
from ..loop import Trainer
from .recorded import Recorder

_GRAIN = 8  # latent sizes of the trials are multiples of this, as U-Nets like them
_WORKSPACE = 1.2  # what forward and backward need beside what is kept


def estimate_memory(trainer: Trainer) -> int:
    """Bytes that the training needs beside the weights of model, tuners and teacher.

    What is kept for backward grows with the area of the latent (attention is fused), so two small trials
    tell it for the real size. Gradients, AdamW's two moments and averages come on top. A teacher works
    before anything is kept, so what it works in counts only where it is more than that.
    """
    channels, height, width = trainer.data.largest
    example = trainer.data.first()
    trials = (_trial(trainer, example, (channels, height, width), part) for part in (4, 2))
    areas, kept = zip(*trials, strict=True)
    fixed = areas[1] == areas[0]  # pictures so small that both trials are of the real size
    slope = kept[1] / areas[1] if fixed else (kept[1] - kept[0]) / (areas[1] - areas[0])
    size = min(-(-trainer.config.batch_size // trainer.ranks.size), len(trainer.data))
    needed = kept[1] + slope * (size * height * width - areas[1])
    working = int(_WORKSPACE * needed)
    if trainer.teaching is not None:
        working = max(working, trainer.teaching.teacher.memory((size, channels, height, width)))
    learning = 3 * sum(weights.nbytes for weights in trainer.parameters)
    return working + learning + sum(average.nbytes for average in trainer.averages)


def estimate_seconds(trainer: Trainer) -> float:
    """Seconds for the steps that are left, from one batch of the real size; nothing is learnt from it."""
    _wait_for(trainer.parameters[0])
    start = time.perf_counter()
    loss = trainer.loss(0)
    loss.backward()
    _wait_for(loss)
    seconds = time.perf_counter() - start
    trainer.optimizer.zero_grad()
    return seconds * trainer.config.accumulation * max(0, trainer.config.steps - trainer.step)


def _wait_for(tensor: Tensor) -> None:
    """Wait until the device has done all work that is queued there: reading a number waits for that."""
    tensor.detach().flatten()[0].item()


def _trial(trainer: Trainer, example: Batch, shape: tuple[int, int, int], part: int) -> tuple[int, int]:
    """Area, and bytes kept, of one picture like `example` at a part of the real height and width."""
    channels, *sides = shape
    high, wide = (min(side, -(-side // (part * _GRAIN)) * _GRAIN) for side in sides)
    size = (PIXELS_PER_LATENT * high, PIXELS_PER_LATENT * wide)
    hints = tuple(torch.zeros(1, 3, *size) for _ in example.hints)  # each in memory of its own, as in a batch
    batch = Batch(torch.zeros(1, channels, high, wide), example.captions, hints)
    recorder = Recorder((*trainer.parameters, *trainer.base.weights()))
    with recorder.recording():
        loss = trainer.loss_of(batch, [generator(0, "trial")])
    return high * wide, recorder.kept(loss).total()
