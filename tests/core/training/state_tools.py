"""Training states in tests: one of two steps, changed ones, and their refusal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_tools import CONFIG

from scedit_core import SCEditError
from scedit_core.training import Trainer, load_state

AVERAGED = dataclasses.replace(CONFIG, ema_decay=0.9)
KEY = "scedit.training"


def rewritten(path: Path, change: Callable[[dict, dict], Any]) -> Path:
    """The state after `change(facts, tensors)`; a text that it returns stands in for the facts."""
    with safe_open(path, framework="pt") as opened:
        facts = json.loads(opened.metadata()[KEY])
    tensors = {key: value.clone() for key, value in load_file(path).items()}
    text = change(facts, tensors)
    save_file(tensors, path, {KEY: text if isinstance(text, str) else json.dumps(facts)})
    return path


def holdings(run: Trainer) -> list[Any]:
    """All that a step changes, for comparison."""
    moments = [value for one in run.optimizer.state.values() for value in one.values()]
    return [run.step, list(run.losses), *map(torch.clone, [*run.parameters, *run.averages, *moments])]


def assert_refused(run: Trainer, path: Path, words: list[str]) -> None:
    """The state is refused in one sentence, and the run is as before."""
    before = holdings(run)
    with pytest.raises(SCEditError) as caught:
        load_state(run, path)
    said = str(caught.value)
    assert not [word for word in (*words, path.stem, "another name") if word not in said], said
    assert said.isprintable()
    assert len(said) < 500
    pairs = zip(holdings(run), before, strict=True)
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
