"""The state of a training run on disk, from which it goes on to the same numbers as without a break."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from ..errors import SCEditError, shown
from ..files.disk import write_tensors
from .loop import Trainer
from .saved_state import KEY, MOMENTS, REMEDY, VERSION, SavedState, read_state
from .sketch import Sketch

_NO_POINTS = torch.zeros(0)
_TAUGHT = "teacher.share"  # what is remembered of every teacher
_NOW_TAUGHT = "it was trained without a teacher, and one came"
_WORDS = {
    "model": "the model is another",
    "patches": "the LoRAs or merged models in the model are others",
    "edits": "the SCEdit tuners that the model has already are others",
    "others": "other patches of the model are others",
    "pictures": "the pictures, the captions or the number of hints are others",
    "tuners": "the tuner's sizes are others",
    "teacher.model": "the teacher's model is another",
    "teacher.patches": "the LoRAs or merged models in the teacher are others",
    "teacher.edits": "the SCEdit tuners of the teacher are others",
    "teacher.others": "other patches of the teacher are others",
    "teacher.controls": "the teacher's controls are others",
    "teacher.share": "the teacher's share is another",
}


def save_state(trainer: Trainer, path: Path) -> None:
    """Write all that a run needs to go on; the file appears whole or not at all. SCEditError if it cannot."""
    tensors = {f"weights.{i}": weights for i, weights in enumerate(trainer.parameters)}
    tensors |= {f"averages.{i}": average for i, average in enumerate(trainer.averages)}
    for i, moments in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": value for name, value in moments.items()}
    tensors |= {f"points.{what}": one.points for what, one in trainer.sketches.items() if len(one.points)}
    tensors["losses"] = torch.tensor(trainer.losses, dtype=torch.float64)
    facts = {
        "version": VERSION,
        "step": trainer.step,
        "config": asdict(trainer.config),
        "trains": {what: one.facts for what, one in trainer.sketches.items()},
        "scaler": trainer.scaler.state_dict(),
    }
    plain = {key: value.detach().to("cpu").contiguous() for key, value in tensors.items()}
    try:
        write_tensors(path, plain, {KEY: json.dumps(facts, sort_keys=True)})
    except SCEditError as error:
        cause = error.__cause__
        if not isinstance(cause, PermissionError):
            raise
        raise SCEditError(
            f"the state '{shown(path.name)}' could not be written: it is locked by another program or may "
            f"not be changed ({cause.strerror or cause}); close that program or check the permissions of "
            f"{path.parent}; nothing half written is left"
        ) from cause


def load_state(trainer: Trainer, path: Path) -> None:
    """Continue a saved run where it ended; the file is not held open.

    SCEditError, with the trainer as it was, if it is another run's, damaged, locked, or no state that this
    version knows.
    """
    saved = read_state(path)
    differences = trainer.config.differences(saved.config) + _differences(trainer, saved)
    if differences:
        raise SCEditError(
            f"'{saved.name}' holds {saved.step} steps of another training: {'; '.join(differences)}; {REMEDY}"
        )
    _check_tensors(trainer, saved)
    # nothing is refused from here on: the trainer goes from one whole run to another
    tensors = saved.tensors
    with torch.no_grad():
        for i, weights in enumerate(trainer.parameters):
            weights.copy_(tensors[f"weights.{i}"])
        for i, average in enumerate(trainer.averages):
            average.copy_(tensors[f"averages.{i}"])
    moments = {"state": _moments(tensors, len(trainer.parameters))}
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | moments)
    if saved.scaler:  # empty if the base model needed none
        trainer.scaler.load_state_dict(dict(saved.scaler))
    trainer.step, trainer.losses = saved.step, tensors["losses"].tolist()


def set_aside(path: Path) -> Path:
    """Rename a state to make room for a new one, and never over another: `.previous`, `.previous-2`, ..."""
    names = (f"{path.stem}.previous{'' if n == 1 else f'-{n}'}{path.suffix}" for n in count(1))
    target = next(target for target in map(path.with_name, names) if not os.path.lexists(target))
    try:
        return path.rename(target)
    except OSError as error:
        raise SCEditError(
            f"the state '{shown(path.name)}' could not be kept as '{shown(target.name)}' "
            f"({error.strerror or error}); close the program that uses it, or train under another name"
        ) from error


def _differences(trainer: Trainer, saved: SavedState) -> list[str]:
    """What differs between this run and the saved one, settings aside."""
    if isinstance(saved.trains, str):  # version 1: one text for all of it
        shapes = [tuple(weights.shape) for weights in trainer.parameters]
        same = saved.trains == f"{trainer.base.fingerprint()} {trainer.data.fingerprint()} {shapes}"
        if trainer.teaching is not None:
            return [_NOW_TAUGHT]
        return [] if same else ["the model, the pictures, the captions or the tuner's sizes are others"]
    theirs = {
        what: Sketch(facts, saved.tensors.get(f"points.{what}", _NO_POINTS).float())
        for what, facts in saved.trains.items()
    }
    ours = trainer.sketches
    said = []
    if _TAUGHT in theirs and _TAUGHT not in ours:
        said.append("it was trained by a teacher, and none came")
    if _TAUGHT in ours and _TAUGHT not in theirs:
        said.append(_NOW_TAUGHT)
    if said:  # what it is made of says nothing more
        theirs, ours = (_without_teacher(sketches) for sketches in (theirs, ours))
    differing = [what for what in ours if what not in theirs or not ours[what].fits(theirs[what])]
    other = (*differing, *(theirs.keys() - ours))
    return [*(_WORDS.get(what, f"its {what} are others") for what in other), *said]


def _without_teacher(sketches: Mapping[str, Sketch]) -> dict[str, Sketch]:
    return {what: one for what, one in sketches.items() if not what.startswith("teacher.")}


def _check_tensors(trainer: Trainer, saved: SavedState) -> None:
    """SCEditError unless the state holds all that the trainer needs, and nothing else."""
    shapes: dict[str, tuple[int, ...]] = {"losses": (saved.step,)}
    shapes |= {f"averages.{i}": tuple(average.shape) for i, average in enumerate(trainer.averages)}
    for i, weights in enumerate(trainer.parameters):
        shape = tuple(weights.shape)
        shapes[f"weights.{i}"] = shape
        names = [f"adam.{i}.{name}" for name in MOMENTS]
        if any(name in saved.tensors for name in names):  # there are none before its first gradient
            shapes |= dict(zip(names, ((), shape, shape), strict=True))
    saved.check(shapes)


def _moments(tensors: Mapping[str, Tensor], size: int) -> dict[int, dict[str, Tensor]]:
    """AdamW's state by number of the weights, copied, so that the file does not stay mapped."""
    return {
        i: {name: tensors[f"adam.{i}.{name}"].clone() for name in MOMENTS}
        for i in range(size)
        if f"adam.{i}.step" in tensors
    }
