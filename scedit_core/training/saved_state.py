"""A training state as it lies on disk, read without trusting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SCEditError, shown, some
from ..files.disk import read_tensors
from .config import TrainConfig

KEY = "scedit.training"
# 1: one text for all that the run depends on, averages in the precision of the weights. 2: sketches by what
# they are of, averages in float32. 3: what a batch drew is drawn for each picture; a state of 1 or 2 goes on
# with that.
VERSION = 3
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW, as PyTorch names them
REMEDY = "start over, or train under another name"

_KINDS = {"step": int, "config": dict, "scaler": dict}
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# entries of a GradScaler, and the least that each may be
_SCALER = {
    "scale": 1e-30,
    "growth_factor": 1.0,
    "backoff_factor": 1e-30,
    "growth_interval": 1,
    "_growth_tracker": 0,
}
_MOST_SCALE = 1e30


@dataclass(frozen=True, eq=False)
class SavedState:
    """What a state holds. `trains` says what it was trained on: a hash each, or the one text of version 1."""

    name: str
    step: int
    config: TrainConfig
    trains: str | Mapping[str, str]
    scaler: Mapping[str, float]
    tensors: Mapping[str, Tensor]

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """SCEditError unless it holds tensors of these shapes, and no others but points of sketches."""
        missing = shapes.keys() - self.tensors.keys()
        if missing:
            raise _damaged(self.name, f"no {some(missing)}")
        unknown = {key for key in self.tensors if key not in shapes and not key.startswith("points.")}
        if unknown:
            raise _damaged(self.name, f"{some(unknown)}, which no run like this one has")
        for key, shape in shapes.items():
            tensor = self.tensors[key]
            if tensor.shape != shape:
                raise _damaged(self.name, f"{key} of shape {tuple(tensor.shape)} in place of {shape}")
            if not bool(torch.isfinite(tensor).all()):
                raise _damaged(self.name, f"{key} with NaN or infinite numbers")


def read_state(path: Path) -> SavedState:
    """A state, its tensors mapped from the file. SCEditError if it is none that this version knows."""
    name = shown(path.name)
    if not path.is_file():
        raise SCEditError(f"'{name}' is a folder where a training state is to be; remove it, or {REMEDY}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SCEditError(
            f"the state '{name}' is locked or may not be read ({error.strerror or error}); close the program "
            "that uses it, check its permissions, or train under another name"
        ) from error
    try:
        raw = read_tensors(path)
    except SCEditError as error:
        raise SCEditError(
            f"'{name}' is no whole training state: it was cut off or changed; {REMEDY}"
        ) from error
    facts = _facts(raw.metadata, name)
    for key, tensor in raw.tensors.items():
        if tensor.dtype not in _FLOATS:
            raise _damaged(name, f"{shown(key)} of {tensor.dtype}, which is no float")
    config, scaler = _config(facts["config"], name), _scaler(facts["scaler"], name)
    return SavedState(name, facts["step"], config, facts["trains"], scaler, raw.tensors)


def _facts(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """What a state says of itself, each entry of its kind."""
    if KEY not in metadata:
        raise SCEditError(f"'{name}' is no training state of SCEdit; {REMEDY}")
    facts = _parsed(metadata[KEY], name)
    version = facts.get("version", 1)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise SCEditError(
            f"'{name}' is a training state of version {shown(str(version))}, and this SCEdit knows those up "
            f"to {VERSION}; update SCEdit, {REMEDY}"
        )
    for key, kind in (_KINDS | {"trains": str if version == 1 else dict}).items():
        if key not in facts:
            raise _damaged(name, f"no {key}")
        if type(facts[key]) is not kind:
            raise _damaged(name, f"a {type(facts[key]).__name__} for its {key}")
    if facts["step"] < 0:
        raise _damaged(name, f"{facts['step']} steps")
    if version > 1 and not all(isinstance(value, str) for value in facts["trains"].values()):
        raise _damaged(name, "something else than hashes for what it trains")
    return facts


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, f"facts that are no JSON ({shown(str(error))})") from error
    if not isinstance(facts, dict):
        raise _damaged(name, f"a {type(facts).__name__} for its facts")
    return facts


def _scaler(entries: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """State of a GradScaler; empty where none was needed."""
    is_whole = entries.keys() == _SCALER.keys() and all(
        type(entries[key]) in (int, float) and least <= entries[key] <= _MOST_SCALE
        for key, least in _SCALER.items()
    )
    if entries and not is_whole:
        raise _damaged(name, "a scaler with odd entries")
    return entries


def _config(entries: Mapping[str, Any], name: str) -> TrainConfig:
    """The settings of a saved run, with the defaults for those that its version did not have."""
    unknown = entries.keys() - {field.name for field in fields(TrainConfig)}
    if unknown:
        raise _damaged(name, f"settings that this SCEdit does not know ({some(unknown)})")
    try:
        return TrainConfig(**entries)
    except (SCEditError, TypeError, OverflowError) as error:
        raise _damaged(name, f"a setting out of range ({shown(str(error))})") from error


def _damaged(name: str, what: str) -> SCEditError:
    return SCEditError(f"'{name}' is a damaged training state: it holds {what}; {REMEDY}")
