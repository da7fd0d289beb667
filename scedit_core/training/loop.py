"""The training loop: one step after the other, without knowing what runs the base model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property

import torch
from torch import Tensor, nn

from ..control import CSCTunerSet
from ..edit import PreparedEdit, SkipEdit
from ..errors import SCEditError
from ..files.checkpoint import build_tuners
from ..tuner import SCTunerSet
from .ahead import Ahead
from .config import TrainConfig
from .dataset.examples import Batch, TrainingSet, unit
from .dataset.order import generator
from .memory.recompute import recomputed
from .objective import BaseModel, denoising_loss, noised_batch
from .ranks import Alone, Ranks, check_same, together
from .sketch import Sketch, sketch
from .teacher import Teaching

_HALF = (torch.float16, torch.bfloat16)


class Trainer:
    """A training run: the tuners, what they learn from, and how far they are.

    Several CSC-Tuners learn together from the same pictures, each from its own hint (the examples' hints are
    in the order of the tuners) and at weight 1/M, so that the weights add up to 1 (Eq. 7).

    Each of several processes (`ranks`) learns from its part of each batch, and all take the same step: that
    of one process with the same settings, but for rounding. `batch_size` is that of all of them together.
    """

    def __init__(
        self,
        tuners: Sequence[SCTunerSet | CSCTunerSet],
        base: BaseModel,
        data: TrainingSet,
        config: TrainConfig,
        ranks: Ranks | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        self.ranks = ranks or Alone()
        _check(tuners, data, config, self.ranks)
        self.tuners = nn.ModuleList(tuners)
        self._sets = tuple(tuners)  # the same, by their own types
        self.base = base
        self.data = data
        self.config = config
        self.teaching = teaching
        self.step = 0
        self.losses: list[float] = []
        self.parameters = [weights for weights in self.tuners.parameters() if weights.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        # half precision gradients vanish unless the loss is scaled up; a disabled scaler does nothing
        self.scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype == torch.float16)
        # float32 whatever the weights are: in bf16 an average would lose the small steps it is made of
        averaged = self.parameters if config.ema_decay else []
        self.averages = [weights.detach().to(torch.float32, copy=True) for weights in averaged]
        self._ahead: Ahead[Batch] | None = None

    @cached_property
    def sketches(self) -> Mapping[str, Sketch]:
        """What a state of this run belongs to. Nothing of it changes in a run, so it is taken once."""
        shapes = [tuple(weights.shape) for weights in self.parameters]
        pictures, tuners = sketch(self.data.fingerprint()), sketch(shapes)
        taught = self.teaching.sketches() if self.teaching else {}
        return {**self.base.sketches(), "pictures": pictures, "tuners": tuners, **taught}

    def advance(self) -> float:
        """Take one step and return its loss, of all processes together.

        Raises SCEditError, on all of them and with the weights as before, if it is NaN.
        """
        loss, norm = self._gradients()
        # a scaler expects infinite gradients now and then, and passes over such a step by itself
        if not math.isfinite(loss) or not (self.scaler.is_enabled() or math.isfinite(norm)):
            raise SCEditError(self._broken(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.losses.append(loss)
        self._average()
        return loss

    def edits(self, batch: Batch) -> list[PreparedEdit]:
        """The tuners as edits of the base model, with the hints of this batch encoded."""
        weight, hints = 1 / len(self._sets), iter(batch.hints)
        return [self._edit(tuners, hints, weight) for tuners in self._sets]

    def trained(self) -> list[SCTunerSet | CSCTunerSet]:
        """Tuners with the weights so far, on the CPU: averaged over the steps if the config says so."""
        averages = iter(self.averages)
        return [_copied(tuners, averages) for tuners in self._sets]

    def loss(self, number: int) -> Tensor:
        """Loss of batch 0, 1, ... of the run, the same each time: this process's share of it."""
        batch = self.data.encoded(self._ahead.take(number) if self._ahead else self._read(number))
        if not batch.places:  # fewer pictures than processes
            return 0 * torch.stack([weights.sum() for weights in self.parameters]).sum()
        return self.loss_of(batch, self._draws(number, batch)) * batch.share

    def loss_of(self, batch: Batch, draws: Sequence[torch.Generator]) -> Tensor:
        """Loss of a batch with the noise of each picture from one of `draws`."""
        with self.autocast():
            gamma, edits = self.config.min_snr_gamma, self.edits(batch)
            return denoising_loss(self.base, batch, edits, draws, gamma, self.teaching)

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Inside, threads read the next batches during a step, if the examples have to be read at all."""
        threads, end = self.data.examples.threads, self.config.steps * self.config.accumulation
        if not threads:
            yield
            return
        with Ahead(self._read, threads, end) as self._ahead:
            try:
                yield
            finally:
                self._ahead = None

    def _read(self, number: int) -> Batch:
        """This process's part of a batch, every size-th picture; its captions are yet to be encoded."""
        config, rows = self.config, slice(self.ranks.rank, None, self.ranks.size)
        return self.data.read(number, config.batch_size, config.seed, config.caption_dropout, rows)

    def _gradients(self) -> tuple[float, float]:
        """The step's gradients, of all processes and clipped. Returns its loss and their norm before that."""
        self.optimizer.zero_grad()
        count = self.config.accumulation
        with together(self.ranks):
            losses = [self._learn(self.step * count + part) for part in range(count)]
        loss = torch.stack([loss.double() for loss in losses]).sum() / count
        self.ranks.sum_([loss])
        self.ranks.sum_([weights.grad for weights in self.parameters if weights.grad is not None])
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf)
        # at once: a number read from the device waits until it has done its queued work
        loss, norm = torch.stack([loss, norm.double()]).tolist()
        return loss, norm

    def _learn(self, number: int) -> Tensor:
        """Gradients of one batch, added to those there are; returns its loss."""
        loss = self.loss(number)
        self.scaler.scale(loss / self.config.accumulation).backward()
        return loss.detach()

    def _broken(self, loss: float) -> str:
        """What a loss that is not finite comes from, and what helps; all processes ask together."""
        if self.ranks.any(self._is_taught_nan()):
            return (
                f"the loss became {loss} after {self.step} steps, as the teacher's pictures are NaN or "
                "infinite; the weights of the last good step are kept: use a teacher in bf16 or fp32, and "
                "look at what it paints"
            )
        return (
            f"the loss became {loss} after {self.step} steps; the weights of the last good step are kept: "
            f"train with a lower learning rate than {self.config.learning_rate:g}, or with a base model in "
            "bf16 or fp32"
        )

    def _is_taught_nan(self) -> bool:
        """Whether a target of this step, which is made again, is not finite."""
        if self.teaching is None:
            return False
        first = self.step * self.config.accumulation
        for number in range(first, first + self.config.accumulation):
            batch = self.data.encoded(self._read(number))
            if not batch.places:
                continue
            with self.autocast():
                noised = noised_batch(self.base, batch, self._draws(number, batch))
                target = self.teaching.target(*noised, batch)
            if not torch.isfinite(target).all():
                return True
        return False

    def _draws(self, number: int, batch: Batch) -> list[torch.Generator]:
        """Where the noise of each picture of a batch comes from."""
        return [generator(self.config.seed, "noise", number, place) for place in batch.places]

    def _edit(self, tuners: SCTunerSet | CSCTunerSet, hints: Iterator[Tensor], weight: float) -> PreparedEdit:
        if tuners.kind == "sc":
            return PreparedEdit(SkipEdit(tuners, weight), None, None)
        hint = unit(next(hints).to(self.base.device))
        return PreparedEdit(SkipEdit(tuners, weight, hint), self._encode(tuners.hint_encoder, hint), None)

    def _encode(self, encoder: nn.Module, hint: Tensor) -> tuple[Tensor, ...]:
        weights = next(encoder.parameters())
        if not torch.is_autocast_enabled(hint.device.type):
            hint = hint.to(weights.dtype)
        return recomputed(self.config.recompute, encoder, hint)

    def autocast(self) -> torch.autocast:
        """Mixed precision where the base model or the tuners are half; off where both are float32."""
        kinds = (self.base.dtype, self.parameters[0].dtype)
        half = next((dtype for dtype in kinds if dtype in _HALF), None)
        return torch.autocast(self.base.device.type, dtype=half or torch.bfloat16, enabled=half is not None)

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights, quicker at the start, when they still move far."""
        if not self.averages:
            return
        decay = min(self.config.ema_decay, self.step / (self.step + 9))
        for average, weights in zip(self.averages, self.parameters, strict=True):
            average.lerp_(weights.float(), 1 - decay)


@torch.no_grad()
def _copied(tuners: SCTunerSet | CSCTunerSet, averages: Iterator[Tensor]) -> SCTunerSet | CSCTunerSet:
    """A copy on the CPU, with the averages of its weights where there are some."""
    weights = list(tuners.parameters())
    copy = build_tuners(tuners.spec, dtype=weights[0].dtype, device=torch.device("cpu"))
    for mine, trained in zip(copy.parameters(), weights, strict=True):
        mine.copy_(next(averages, trained))
    return copy


def train(
    trainer: Trainer,
    report: Callable[[Trainer], None],
    save: Callable[[Trainer], None],
    save_every: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run to the end, with a report after every step and a save after every `save_every` steps (0: none).

    However the run ends (done, stopped, cancelled in `report`, an error), its last good step is saved. Each
    process reports, the first one saves. `stop` is asked before every step: what one process answers with
    True ends all of them after the same step.
    """
    ranks = trainer.ranks

    def keep() -> None:
        if ranks.rank == 0:
            save(trainer)

    check_same(ranks, lambda: _facts(trainer))
    try:
        with trainer.reading_ahead():
            while trainer.step < trainer.config.steps and not ranks.any(stop()):
                trainer.advance()
                with together(ranks):
                    report(trainer)
                    if save_every and trainer.step % save_every == 0:
                        keep()
    finally:
        keep()


def _facts(trainer: Trainer) -> dict[str, str]:
    """What has to be the same in all processes, by what it is called."""
    digest = hashlib.sha256()
    for weights in trainer.parameters:
        digest.update(weights.detach().float().cpu().numpy().tobytes())
    sketched = {what: one.facts for what, one in trainer.sketches.items()}
    settings, step = str(asdict(trainer.config)), str(trainer.step)
    return {"settings": settings, "step": step, "weights": digest.hexdigest(), **sketched}


def _check(
    tuners: Sequence[SCTunerSet | CSCTunerSet], data: TrainingSet, config: TrainConfig, ranks: Ranks
) -> None:
    if not tuners:
        raise SCEditError("there is nothing to train: no tuner was given")
    if any(one.spec.place != "skip" for one in tuners):
        raise SCEditError(
            "a tuner of the encoder cannot be trained here, only tuners of skips; start from another, or anew"
        )
    controls = sum(one.kind == "csc" for one in tuners)
    hints = data.examples.hints
    if hints != controls:
        raise SCEditError(
            f"{controls} controls are to be trained but each picture has {hints} hints; give one hint per "
            "control"
        )
    if config.caption_dropout and data.no_caption is None:
        raise SCEditError(
            f"caption_dropout {config.caption_dropout} needs the conditioning of an empty prompt; connect "
            "it, or set caption_dropout to 0"
        )
    if config.batch_size < ranks.size:
        raise SCEditError(
            f"batch_size is {config.batch_size} for {ranks.size} processes, which share each batch; set it "
            f"to {ranks.size} or more, or start fewer processes"
        )
