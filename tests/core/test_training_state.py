"""Training states: what they belong to, which are refused, and that a run owns what it took from one."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_tools import CONFIG, CSC, LAYOUT, SmallModel, equal, finished, trainer

from scedit_core import SCEditError, TunerSpec
from scedit_core.training import Trainer, load_state, save_state
from scedit_core.training.state import set_aside

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
    "a newer version": (set_fact("version", to=3), ["of version 3", "up to 2", "update SCEdit"]),
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


class Cast(SmallModel):
    """The same model loaded in another dtype, or with other weights."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def weights(self):
        return [self.change(weights) for weights in super().weights()]


@pytest.mark.parametrize(
    ("first", "second"), [(torch.float32, torch.bfloat16), (torch.float16, torch.bfloat16)], ids=str
)
def test_a_run_goes_on_with_the_same_model_in_another_dtype(first, second, tmp_path):
    run = trainer()
    run.base = Cast(lambda weights: weights.to(first))
    save_state(finished(run, 1), tmp_path / "state.safetensors")
    again = trainer()
    again.base = Cast(lambda weights: weights.to(second))
    load_state(again, tmp_path / "state.safetensors")
    assert again.step == 1


@pytest.mark.parametrize(
    "change",
    [lambda w: w * 1.01, lambda w: w + 1e-4, lambda w: w.flip(0)],
    ids=["scaled", "moved", "reordered"],
)
def test_a_model_with_other_weights_is_another_model(change, state):
    run = trainer(AVERAGED)
    run.base = Cast(change)
    assert_refused(run, state, ["2 steps of another training", "the model is another"])


def test_what_differs_is_said_by_its_name(state):
    run = trainer(AVERAGED, (TunerSpec.sc(LAYOUT, ratio=2.0),), predicts="v")
    assert_refused(run, state, ["the model is another; the tuner's sizes are others"])


def old_kind(facts: dict, tensors: dict) -> None:
    """Make a state of version 1: averages in the precision of the weights, one text for what is trained."""
    run = trainer()
    shapes = [tuple(weights.shape) for weights in run.parameters]
    facts["trains"] = f"{run.base.fingerprint()} {run.data.fingerprint()} {shapes}"
    del facts["version"], tensors["points.model"]
    for key in [key for key in tensors if key.startswith("averages.")]:
        tensors[key] = tensors[key].to(tensors[key.replace("averages", "weights")].dtype)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_state_of_version_1_goes_on_and_its_averages_in_float32(precision, tmp_path):
    config = dataclasses.replace(AVERAGED, precision=precision)
    straight = finished(trainer(config))
    save_state(finished(trainer(config), 3), tmp_path / "state.safetensors")
    resumed = trainer(config)
    load_state(resumed, rewritten(tmp_path / "state.safetensors", old_kind))
    finished(resumed)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters, straight.parameters, strict=True))
    assert all(average.dtype == torch.float32 for average in resumed.averages)
    pairs = zip(resumed.averages, straight.averages, strict=True)
    assert all(torch.allclose(a, b, rtol=2**-7, atol=1e-6) for a, b in pairs)


def test_a_state_of_version_1_of_another_model_is_refused(state):
    run = trainer(AVERAGED, predicts="v")
    assert_refused(
        run, rewritten(state, old_kind), ["2 steps of another training", "the model, the pictures"]
    )


@pytest.mark.parametrize(
    ("specs", "settings"),
    [
        ((TunerSpec.sc(LAYOUT),), {"precision": "bf16", "accumulation": 3, "ema_decay": 0.9}),
        ((CSC, TunerSpec.sc(LAYOUT), CSC), {"accumulation": 2, "ema_decay": 0.9}),
    ],
    ids=["bf16", "several"],
)
def test_a_run_broken_at_any_step_goes_on_to_the_same_numbers(specs, settings, tmp_path):
    config = dataclasses.replace(CONFIG, steps=3, caption_dropout=0.5, **settings)
    straight = trainer(config, specs)
    for step in range(4):
        save_state(straight, tmp_path / f"{step}.safetensors")
        finished(straight, step < 3)
    for step in range(4):
        resumed = trainer(config, specs)
        load_state(resumed, tmp_path / f"{step}.safetensors")
        assert equal(finished(resumed), straight)
        assert all(torch.equal(a, b) for a, b in zip(resumed.averages, straight.averages, strict=True))


def test_a_resumed_run_needs_its_file_no_more(state):
    resumed = trainer(AVERAGED)
    load_state(resumed, state)
    before = holdings(resumed)
    with state.open("r+b") as file:  # in place: what is still mapped from there changes
        file.write(b"\xff" * state.stat().st_size)
    pairs = zip(holdings(resumed), before, strict=True)
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
    os.truncate(state, 0)
    assert equal(finished(resumed), finished(trainer(AVERAGED)))
    save_state(resumed, state)
    load_state(trainer(AVERAGED), state)


LOCKED = PermissionError(13, "The process cannot access the file because it is being used")


def refuse(*_: Any, **__: Any) -> None:
    """What a locked file answers."""
    raise LOCKED


def test_a_locked_state_is_said_to_be_locked_when_it_is_read(state, monkeypatch):
    run = trainer(AVERAGED)
    monkeypatch.setattr(Path, "open", refuse)
    assert_refused(run, state, ["is locked", "being used", "close the program"])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: save_state(trainer(), path), r"is locked .*being used.*nothing half written is left"),
        (set_aside, r"could not be kept as 'state\.previous\.safetensors' .*being used"),
    ],
    ids=["written", "set aside"],
)
def test_a_locked_state_is_said_to_be_locked_and_stays(write, words, state, monkeypatch):
    before = state.read_bytes()
    for where, names in ((Path, ("replace", "rename")), (os, ("replace", "rename"))):
        for name in names:
            monkeypatch.setattr(where, name, refuse)
    with pytest.raises(SCEditError, match=words):
        write(state)
    assert state.read_bytes() == before
    assert [file.name for file in state.parent.iterdir()] == ["state.safetensors"]


def test_states_set_aside_are_numbered_and_none_is_lost(tmp_path):
    state = tmp_path / "my.style.safetensors"
    for number in range(3):
        state.write_text(str(number))
        set_aside(state)
    (tmp_path / "my.style.previous-2.safetensors").unlink()
    state.write_text("3")
    assert set_aside(state).name == "my.style.previous-2.safetensors"
    kept = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert kept == {
        "my.style.previous.safetensors": "0",
        "my.style.previous-2.safetensors": "3",
        "my.style.previous-3.safetensors": "2",
    }
