"""A training as ComfyUI's users see it: its files, its progress, its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_management
import folder_paths
import torch

from ...scedit_core import CSCTunerSet, SCEditError, SCTunerSet, TunerSpec, build_tuners, save_checkpoint
from ...scedit_core.training import Trainer, TrainingSet, describe, load_state, save_state, train
from ...scedit_core.training.memory.estimate import estimate_memory, estimate_seconds
from ...scedit_core.training.state import set_aside
from ..files.folders import new_file, new_tuner
from ..files.hosted import HostedTuners, host_tuners
from ..patching.conditions import skip_layout
from .base_model import describe_model, differentiable
from .view import TrainingView, loss_plot, minutes
from .widgets import START_OVER, to_config

_SMALLER = (
    "set memory to 'least', lower batch_size (more accumulation makes up for it), or train at a smaller size"
)
_log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What a training gives; `shown` is what its node shows."""

    tuners: list[HostedTuners]
    plot: torch.Tensor
    steps: int
    shown: dict[str, Any]


def train_tuners(
    model: Any,
    specs: Sequence[TunerSpec],
    begun: Sequence[HostedTuners],
    data: TrainingSet,
    settings: Mapping[str, Any],
    beside: Sequence[Any] = (),
) -> Trained:
    """Train tuners of these sizes, or those `begun`, to their last step.

    The models `beside` it are loaded with it, such as a text encoder that the data needs on the way.
    What ends it early (a cancel, an error, NaN) leaves a state on disk, from which the next run goes on.
    """
    config = to_config(settings)
    state = state_path(settings["name"])
    starts = _starts(specs, begun, config.seed)
    for tuners, hosted in zip(starts[: len(begun)], begun, strict=True):
        tuners.spec.check_fits(skip_layout(model), hosted.name)
    with differentiable(model, config.recompute, beside) as base:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
        trainer = Trainer([tuners.to(base.device, dtype) for tuners in starts], base, data, config)
        facts = describe_model(model)
        view = TrainingView(trainer, settings["name"], settings.get("preview_every", 0))
        _Run(trainer, settings, state, facts, view).run(base.make_room)
    metadata = {**facts, **describe(trainer)}
    hosted = [
        host_tuners(settings["name"], tuners.spec, tuners.state_dict(), metadata)
        for tuners in trainer.trained()
    ]
    return Trained(hosted, loss_plot(trainer), trainer.step, view.shown())


def _starts(
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


class _Run:
    """Runs a trainer to its end with progress, previews and saves."""

    def __init__(
        self,
        trainer: Trainer,
        settings: Mapping[str, Any],
        state: Path,
        facts: Mapping[str, str],
        view: TrainingView,
    ) -> None:
        self.trainer = trainer
        self._name: str = settings["name"]
        self._save_every: int = settings.get("save_every", 0)
        self._starts_over = settings.get("when_state_exists") == START_OVER
        self._state = state
        self._facts = facts
        self._view = view

    def run(self, make_room: Callable[[int], int]) -> None:
        """Train to the last step, if `make_room` finds the bytes that it takes."""
        self._open()
        try:
            self._foresee(make_room)
            self._train()
        except torch.cuda.OutOfMemoryError as error:
            raise SCEditError(f"the memory was not enough for this training ({error}); {_SMALLER}") from error

    def _train(self) -> None:
        self._view.begin()
        try:
            train(self.trainer, self._report, self._save, self._save_every)
        finally:  # done, cancelled or broken: the node says how far it came
            self._view.end()

    def _open(self) -> None:
        """Take up an earlier state, or make sure now that one can be written."""
        if self._state.exists() and self._starts_over:
            self._view.note(f"starts over; the earlier state is kept as {set_aside(self._state).name}")
        if self._state.exists():
            load_state(self.trainer, self._state)
            self._view.note(f"goes on from step {self.trainer.step}")
        else:
            save_state(self.trainer, self._state)

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

    def _report(self, _trainer: Trainer) -> None:
        """Show how far it is. Raises what ComfyUI raises when the user cancels."""
        comfy.model_management.throw_exception_if_processing_interrupted()  # the bar checks only now and then
        self._view.step()

    def _save(self, trainer: Trainer) -> None:
        """Save the state and, when it is time, tuners. A full disk is reported and does not end the run."""
        try:
            save_state(trainer, self._state)
            if trainer.step and self._save_every and trainer.step % self._save_every == 0:
                save_tuners(trainer, self._name, {**self._facts, **describe(trainer)})
        except SCEditError as error:
            _log.warning("SCEdit: %s", error)
            self._view.note(str(error))


def state_path(name: str) -> Path:
    """Where the state of a training lies. Raises SCEditError for a name that leads elsewhere."""
    return new_file(Path(folder_paths.get_output_directory(), "scedit_training"), name)


def save_tuners(trainer: Trainer, name: str, metadata: Mapping[str, str]) -> None:
    """Write what was trained so far as tuner files, with the step in their names."""
    for number, tuners in enumerate(trainer.trained()):
        place = f"-{number}" if len(trainer.tuners) > 1 else ""
        target = new_tuner(f"{name}{place}-step{trainer.step:06d}", replace=True)
        save_checkpoint(tuners, target, metadata)
