"""A training from its state to its last step, as the nodes and train.py share it; it shows nothing itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ...scedit_core import CSCTunerSet, SCEditError, SCTunerSet, TunerSpec, build_tuners
from ...scedit_core.training import Trainer, load_state, save_state, train
from ...scedit_core.training.memory.estimate import estimate_memory, estimate_seconds
from ...scedit_core.training.ranks import together
from ...scedit_core.training.spans import minutes
from ...scedit_core.training.state import set_aside
from ..files.hosted import HostedTuners

_SMALLER = (
    "set memory to 'least', lower batch_size (more accumulation makes up for it), or train at a smaller size"
)
_log = logging.getLogger(__name__)


class View(Protocol):
    """What shows a training to whoever waits for it."""

    def note(self, line: str) -> None:
        """Show a line that stays."""
        ...

    def begin(self) -> None:
        """Count this run's steps and time from here."""
        ...

    def step(self) -> None:
        """Show the step that was taken. What it raises ends the training, with its state kept."""
        ...

    def end(self) -> None:
        """Show how it ended: done, stopped or broken."""
        ...


@dataclass(frozen=True)
class Keeping:
    """What a training keeps: its state, and by `save_tuners` what can be tried, every `save_every` steps."""

    state: Path
    save_every: int
    save_tuners: Callable[[Trainer], None]
    starts_over: bool = False


class Course:
    """Runs a trainer to its end: takes up its state, foresees what it needs, saves on the way."""

    def __init__(self, trainer: Trainer, keeping: Keeping, view: View) -> None:
        self.trainer = trainer
        self._keeping = keeping
        self._view = view

    def run(self, make_room: Callable[[int], int], stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the last step, or until `stop`, if `make_room` finds the bytes that it takes."""
        ranks = self.trainer.ranks
        try:
            with together(ranks):
                self._open()
                self._foresee(make_room)
            self._train(stop)
        except torch.cuda.OutOfMemoryError as error:
            raise SCEditError(f"the memory was not enough for this training ({error}); {_SMALLER}") from error

    def _train(self, stop: Callable[[], bool]) -> None:
        self._view.begin()
        try:
            train(self.trainer, lambda _: self._view.step(), self._save, self._keeping.save_every, stop)
        finally:  # done, cancelled or broken: the view says how far it came
            self._view.end()

    def _open(self) -> None:
        """Take up an earlier state, or make sure now that one can be written."""
        state = self._keeping.state
        if state.exists() and self._keeping.starts_over:
            self._view.note(f"starts over; the earlier state is kept as {set_aside(state).name}")
        is_begun = state.exists()
        self.trainer.ranks.barrier()  # all have looked before the first of them writes one
        if is_begun:
            load_state(self.trainer, state)
            self._view.note(f"goes on from step {self.trainer.step}")
        elif self.trainer.ranks.rank == 0:
            save_state(self.trainer, state)

    def _foresee(self, make_room: Callable[[int], int]) -> None:
        """Tell how much memory and time the run will take. Raises SCEditError if memory is short."""
        if self.trainer.step >= self.trainer.config.steps:
            return
        needed = estimate_memory(self.trainer)
        free = make_room(needed)
        beside = f"about {max(0.1, needed / 1e9):.1f} GB of memory beside the model"
        if needed > free:
            raise SCEditError(f"this training needs {beside}, but {free / 1e9:.1f} GB are free; {_SMALLER}")
        seconds = estimate_seconds(self.trainer)
        self._view.note(f"needs {beside} ({free / 1e9:.1f} GB free) and about {minutes(seconds)}")

    def _save(self, trainer: Trainer) -> None:
        """Save the state and, when it is time, tuners. A full disk is reported and does not end the run."""
        every = self._keeping.save_every
        try:
            save_state(trainer, self._keeping.state)
            if trainer.step and every and trainer.step % every == 0:
                self._keeping.save_tuners(trainer)
        except SCEditError as error:
            _log.warning("SCEdit: %s", error)
            self._view.note(str(error))


class Pace:
    """How fast a training goes, in words: its steps and its time from where it began."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.begin()

    def begin(self) -> None:
        """Count steps and time from here."""
        self._first, self._began = self._trainer.step, time.monotonic()

    def progress(self) -> str:
        """How far it is, after a step."""
        trainer = self._trainer
        pace = (time.monotonic() - self._began) / max(1, trainer.step - self._first)
        left = pace * (trainer.config.steps - trainer.step)
        recent = trainer.losses[-50:]
        return (
            f"step {trainer.step} of {trainer.config.steps}, loss {sum(recent) / len(recent):.4f}, "
            f"{pace:.2f} s per step, {minutes(left)} left"
        )

    def last(self) -> str:
        """How it ended."""
        step, steps = self._trainer.step, self._trainer.config.steps
        if step < steps:
            return f"stopped at step {step} of {steps}, kept; run again to go on"
        took = minutes(time.monotonic() - self._began)
        return f"done, {steps} steps, {took}" if step > self._first else f"done before, {steps} steps"


def starts(
    specs: Sequence[TunerSpec], begun: Sequence[HostedTuners], seed: int
) -> list[SCTunerSet | CSCTunerSet]:
    """Fresh tuners drawn from the seed, or copies of those to go on with."""
    if begun and len(begun) != len(specs):
        raise SCEditError(
            f"{len(begun)} tuners to start from were given for {len(specs)} kinds of hint; connect one for "
            "each, or none"
        )
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuners = [build_tuners(spec) for spec in [one.patcher.model.spec for one in begun] or specs]
        for mine, hosted in zip(tuners[: len(begun)], begun, strict=True):
            mine.load_state_dict(
                {key: value.clone() for key, value in hosted.patcher.model.state_dict().items()}
            )
    return tuners
