"""One training of the paper's tables: tuners or a peer, by the pack's own Trainer, and what it comes to.

To be imported once the pack is, under the name that its loaders give it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from scedit_pack.scedit_core import PreparedEdit
from scedit_pack.scedit_core.training import Batch, TrainConfig, Trainer, TrainingSet, denoising_loss
from scedit_pack.scedit_core.training.dataset.examples import unit
from scedit_pack.scedit_core.training.memory.recorded import Recorder
from torch import Tensor, nn
from tuning_peers import Peer

LOSS_ROUNDS = 4  # draws of noise for each held-out scene


class Run(Trainer):
    """A training of tuners or of a peer in their place; data, noise, loss and optimizer are the same."""

    def __init__(
        self, tuned: Any, base: Any, unet: nn.Module, data: TrainingSet, config: TrainConfig
    ) -> None:
        super().__init__([tuned.to(memory_format=torch.channels_last)], base, data, config)
        self.unet = unet
        self.seconds = 0.0  # of processor time, in the steps so far

    @contextmanager
    def acting(self, batch: Batch) -> Iterator[Sequence[PreparedEdit]]:
        """Inside, the base model predicts with what is trained, given these edits."""
        (tuned,) = self.tuners
        if not isinstance(tuned, Peer):
            yield self.edits(batch)
            return
        with tuned.acting(self.unet, unit(batch.hints[0]) if batch.hints else None):
            yield ()

    def loss_of(self, batch: Batch, draws: Sequence[torch.Generator]) -> Tensor:
        """Loss of a batch with the noise of each picture from one of `draws`."""
        with self.acting(batch) as edits:
            return denoising_loss(self.base, batch, edits, draws, self.config.min_snr_gamma)

    def learn(self, until: int) -> None:
        """Take steps until there were so many."""
        began = time.process_time()
        while self.step < until:
            self.advance()
        self.seconds += time.process_time() - began

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the weights are their averages over the steps, and nothing is recorded."""
        kept = [weights.detach().clone() for weights in self.parameters]
        with torch.no_grad():
            _put(self.parameters, self.averages)
            try:
                yield
            finally:
                _put(self.parameters, kept)

    def count(self) -> int:
        """Number of trained weights."""
        return sum(weights.numel() for weights in self.parameters)

    def kept(self) -> int:
        """Bytes that the forward of a training step keeps for backward, weights left out: exact."""
        batch = self.data.batch(0, self.config.batch_size, self.config.seed)
        recorder = Recorder([*self.unet.parameters(), *self.parameters])
        with recorder.recording():
            loss = self.loss_of(batch, _draws(batch, 0))
        return recorder.kept(loss).total()


def held_out_loss(run: Run, batch: Batch) -> float:
    """Loss of scenes that no training has seen, with the same draws of noise each time."""
    with run.averaged():
        losses = [run.loss_of(batch, _draws(batch, number)) for number in range(LOSS_ROUNDS)]
    return float(torch.stack(losses).mean())


def paint(run: Run, batch: Batch, empty: Any, steps: int, cfg: float) -> Tensor:
    """Latents for the captions and hints of a batch, by Euler's method as KSampler makes them."""
    base, count = run.base, len(batch.latents)
    places = torch.linspace(len(base.sigmas) - 1, 0, steps).round().long()
    sigmas = torch.cat([base.sigmas[places], torch.zeros(1)])
    x = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    with run.averaged(), run.acting(batch) as edits:
        for sigma, following in pairwise(sigmas):
            level = sigma.expand(count)
            positive = base.denoised(x, level, batch.captions, edits)
            negative = base.denoised(x, level, [empty] * count, edits)
            picture = negative + cfg * (positive - negative)
            x = picture + (following / sigma) * (x - picture)
    return x


def _draws(batch: Batch, number: int) -> list[torch.Generator]:
    count = len(batch.latents)
    return [torch.Generator().manual_seed(number * count + place) for place in range(count)]


def _put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for mine, value in zip(weights, values, strict=True):
        mine.copy_(value)
