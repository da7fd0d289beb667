"""Training states that are damaged, of another version or no states at all: refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from state_tools import AVERAGED, assert_refused, rewritten
from training_tools import finished, trainer

from scedit_core.training import save_state


def set_fact(*place: str, to: Any) -> Callable[[dict, dict], None]:
    """A change of one entry of the facts."""

    def change(facts: dict, _tensors: dict) -> None:
        for name in place[:-1]:
            facts = facts[name]
        facts[place[-1]] = to

    return change


def without_fact(name: str) -> Callable[[dict, dict], None]:
    """A change that drops one entry of the facts."""
    return lambda facts, _tensors: facts.pop(name) and None


def set_tensor(name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict, dict], None]:
    """A change of one tensor, or of what a new one is made from."""
    return lambda _facts, tensors: tensors.update({name: make(tensors.get(name, torch.zeros(3)))})


def without_tensor(name: str) -> Callable[[dict, dict], None]:
    """A change that drops one tensor."""
    return lambda _facts, tensors: tensors.pop(name) is None or None


SCALER = {"scale": 1.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 9}
DAMAGED = {
    "no JSON": (lambda *_: "{", ["no JSON"]),
    "endless JSON": (lambda *_: "[" * 100_000, ["no JSON"]),
    "a list": (lambda *_: "[]", ["a list for its facts"]),
    "a newer version": (set_fact("version", to=4), ["of version 4", "up to 3", "update SCEdit"]),
    "version 0": (set_fact("version", to=0), ["of version 0"]),
    "version in words": (set_fact("version", to="2\n\x1b[31m"), ["of version 2\\n\\x1b[31m"]),
    "no step": (without_fact("step"), ["holds no step"]),
    "step in words": (set_fact("step", to="two"), ["a str for its step"]),
    "step true": (set_fact("step", to=True), ["a bool for its step"]),
    "step below 0": (set_fact("step", to=-1), ["-1 steps"]),
    "step without losses": (set_fact("step", to=10**30), ["losses of shape (2,)"]),
    "no config": (without_fact("config"), ["holds no config"]),
    "config a list": (set_fact("config", to=[]), ["a list for its config"]),
    "setting unknown": (set_fact("config", "optimiser", to="lion"), ["does not know (optimiser)"]),
    "setting in words": (set_fact("config", "seed", to="x"), ["a setting out of range"]),
    "setting NaN": (set_fact("config", "ema_decay", to=float("nan")), ["a setting out of range"]),
    "setting too large": (set_fact("config", "seed", to=10**400), ["a setting out of range"]),
    "no trains": (without_fact("trains"), ["holds no trains"]),
    "trains of version 1": (set_fact("trains", to="x"), ["a str for its trains"]),
    "trains in numbers": (set_fact("trains", "model", to=1), ["something else than hashes"]),
    "no scaler": (without_fact("scaler"), ["holds no scaler"]),
    "scaler incomplete": (set_fact("scaler", to=SCALER), ["scaler with odd entries"]),
    "scaler NaN": (
        set_fact("scaler", to=SCALER | {"_growth_tracker": float("nan")}),
        ["scaler with odd entries"],
    ),
    "no weights": (without_tensor("weights.1"), ["holds no weights.1"]),
    "weights turned": (set_tensor("weights.0", lambda t: t[:1]), ["weights.0 of shape (1, 8)", "(8, 8)"]),
    "weights of integers": (set_tensor("weights.0", lambda t: t.long()), ["weights.0 of torch.int64"]),
    "weights NaN": (set_tensor("weights.0", lambda t: t * torch.nan), ["weights.0 with NaN"]),
    "no averages": (without_tensor("averages.0"), ["holds no averages.0"]),
    "too many weights": (set_tensor("weights.99", torch.clone), ["weights.99, which no run like"]),
    "moments incomplete": (without_tensor("adam.0.exp_avg"), ["holds no adam.0.exp_avg"]),
    "moments of no number": (set_tensor("adam.x.step", torch.clone), ["adam.x.step, which no run like"]),
    "moments of no name": (set_tensor("adam.0", torch.clone), ["adam.0, which no run like"]),
    "moments turned": (set_tensor("adam.0.exp_avg_sq", lambda t: t[:1]), ["adam.0.exp_avg_sq of shape"]),
    "steps of moments": (set_tensor("adam.0.step", lambda t: t.repeat(2)), ["adam.0.step of shape (2,)"]),
    "no losses": (without_tensor("losses"), ["holds no losses"]),
    "losses in rows": (set_tensor("losses", lambda t: t[None]), ["losses of shape (1, 2)"]),
    "no points": (without_tensor("points.model"), ["the model is another"]),
    "points of integers": (set_tensor("points.model", lambda t: t.long()), ["points.model of torch.int64"]),
    "points in rows": (set_tensor("points.model", lambda t: t[None]), ["the model is another"]),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A state after two steps, with averages; to be copied before it is changed."""
    path = tmp_path_factory.mktemp("states") / "state.safetensors"
    save_state(finished(trainer(AVERAGED), 2), path)
    return path


@pytest.fixture
def state(saved, tmp_path) -> Path:
    """A copy of that state."""
    path = tmp_path / "state.safetensors"
    path.write_bytes(saved.read_bytes())
    return path


@pytest.mark.parametrize("steps", [0, 1], ids=["fresh run", "begun run"])
@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_state_is_refused_in_a_sentence_and_changes_nothing(case, steps, state):
    change, words = DAMAGED[case]
    assert_refused(finished(trainer(AVERAGED), steps), rewritten(state, change), words)


@pytest.mark.parametrize("keep", [0, 7, 100, -1], ids=["empty", "no header", "half a header", "torn"])
def test_a_state_that_was_cut_off_is_refused_in_a_sentence(keep, state):
    state.write_bytes(state.read_bytes()[:keep])
    assert_refused(trainer(AVERAGED), state, ["no whole training state"])


def test_a_folder_in_place_of_a_state_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "state.safetensors").mkdir()
    assert_refused(trainer(), tmp_path / "state.safetensors", ["is a folder"])
