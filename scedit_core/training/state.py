"""The state of a training run on disk, from which it goes on to the same numbers as without a break."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SCEditError
from ..files import read_tensors, write_tensors
from .config import TrainConfig
from .loop import Trainer

_KEY = "scedit.training"
_REMEDY = "start over, or train under another name"


def save_state(trainer: Trainer, path: Path) -> None:
    """Write all that a run needs to go on; the file appears whole or not at all. SCEditError if it cannot."""
    tensors = {f"weights.{i}": weights for i, weights in enumerate(trainer.parameters)}
    tensors |= {f"averages.{i}": average for i, average in enumerate(trainer.averages)}
    for i, moments in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": value for name, value in moments.items()}
    tensors["losses"] = torch.tensor(trainer.losses, dtype=torch.float64)
    facts = {
        "step": trainer.step,
        "config": asdict(trainer.config),
        "trains": _trains(trainer),
        "scaler": trainer.scaler.state_dict(),
    }
    plain = {key: value.detach().to("cpu").contiguous() for key, value in tensors.items()}
    write_tensors(path, plain, {_KEY: json.dumps(facts, sort_keys=True)})


def load_state(trainer: Trainer, path: Path) -> None:
    """Take up a saved run where it ended. SCEditError, with the trainer as it was, if it is another run."""
    raw = read_tensors(path)
    facts = _facts(raw.metadata, path)
    differences = trainer.config.differences(TrainConfig(**facts["config"]))
    if facts["trains"] != _trains(trainer):
        differences.append("the model, the pictures, the captions or the tuner's sizes are others")
    if differences:
        raise SCEditError(
            f"'{path.name}' holds {facts['step']} steps of another training: {'; '.join(differences)}; "
            f"{_REMEDY}"
        )
    tensors = dict(raw.tensors)
    losses = tensors.pop("losses").tolist()
    with torch.no_grad():
        for i, weights in enumerate(trainer.parameters):
            weights.copy_(tensors[f"weights.{i}"])
        for i, average in enumerate(trainer.averages):
            average.copy_(tensors[f"averages.{i}"])
    trainer.optimizer.load_state_dict({**trainer.optimizer.state_dict(), "state": _moments(tensors)})
    trainer.scaler.load_state_dict(facts["scaler"])
    trainer.step, trainer.losses = facts["step"], losses


def _facts(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    text = metadata.get(_KEY)
    if text is None:
        raise SCEditError(f"'{path.name}' is no training state of SCEdit; {_REMEDY}")
    return json.loads(text)


def _trains(trainer: Trainer) -> str:
    """What the run trains, on what and with which model, in a few characters."""
    shapes = [tuple(weights.shape) for weights in trainer.parameters]
    return f"{trainer.base.fingerprint()} {trainer.data.fingerprint()} {shapes}"


def _moments(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = value
    return moments
