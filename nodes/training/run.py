"""A training as ComfyUI's users see it: its files, its progress, its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import folder_paths
import torch

from ...scedit_core import TunerSpec, save_checkpoint
from ...scedit_core.training import Trainer, TrainingSet, describe
from ...scedit_core.training.job.parts import to_config
from ..files.folders import new_file, new_tuner
from ..files.hosted import HostedTuners, host_tuners
from ..patching.conditions import skip_layout
from .base_model import describe_model, differentiable
from .course import Course, Keeping, starts
from .teaching.asked import AskedTeacher, teaching
from .view import TrainingView, loss_plot
from .widgets import START_OVER


class Trained(NamedTuple):
    """What a training gives; `shown` is what its node shows."""

    tuners: list[HostedTuners]
    plot: torch.Tensor
    steps: int
    shown: dict[str, Any]


class Lessons(NamedTuple):
    """What is learnt from: pictures, models that are needed to read them on the way, perhaps a teacher."""

    data: TrainingSet
    models: Sequence[Any] = ()
    teacher: AskedTeacher | None = None


def train_tuners(
    model: Any,
    specs: Sequence[TunerSpec],
    begun: Sequence[HostedTuners],
    lessons: Lessons,
    settings: Mapping[str, Any],
) -> Trained:
    """Train tuners of these sizes, or those `begun`, to their last step.

    What ends it early (a cancel, an error, NaN) leaves a state on disk, from which the next run goes on.
    """
    config = to_config(settings)
    name: str = settings["name"]
    state = state_path(name)
    fresh = starts(specs, begun, config.seed)
    for tuners, hosted in zip(fresh[: len(begun)], begun, strict=True):
        tuners.spec.check_fits(skip_layout(model), hosted.name)
    facts = describe_model(model)
    keeping = Keeping(
        state,
        settings.get("save_every", 0),
        lambda trainer: save_tuners(trainer, name, {**facts, **describe(trainer)}),
        settings.get("when_state_exists") == START_OVER,
    )
    data, beside, asked = lessons
    beside = [*beside, *(asked.models(model) if asked else [])]
    hints = data.examples.hints
    with (
        differentiable(model, config.recompute, beside) as base,
        teaching(asked, model, base, hints) as taught,
    ):
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
        moved = [tuners.to(base.device, dtype) for tuners in fresh]
        trainer = Trainer(moved, base, data, config, teaching=taught)
        view = TrainingView(trainer, name, settings.get("preview_every", 0))
        Course(trainer, keeping, view).run(base.make_room)
    metadata = {**facts, **describe(trainer)}
    hosted = [host_tuners(name, tuners.spec, tuners.state_dict(), metadata) for tuners in trainer.trained()]
    return Trained(hosted, loss_plot(trainer), trainer.step, view.shown())


def state_path(name: str) -> Path:
    """Where the state of a training lies. Raises SCEditError for a name that leads elsewhere."""
    return new_file(Path(folder_paths.get_output_directory(), "scedit_training"), name)


def save_tuners(trainer: Trainer, name: str, metadata: Mapping[str, str]) -> None:
    """Write what was trained so far as tuner files, with the step in their names."""
    for number, tuners in enumerate(trainer.trained()):
        place = f"-{number}" if len(trainer.tuners) > 1 else ""
        target = new_tuner(f"{name}{place}-step{trainer.step:06d}", replace=True)
        save_checkpoint(tuners, target, metadata)
