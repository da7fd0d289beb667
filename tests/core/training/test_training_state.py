"""Training states: what they belong to, and that a run owns what it took from one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from state_tools import AVERAGED, assert_refused, holdings, rewritten
from training_tools import CONFIG, CSC, LAYOUT, SmallModel, equal, finished, trainer

from scedit_core import SCEditError, TunerSpec
from scedit_core.training import load_state, save_state
from scedit_core.training.state import set_aside


@pytest.fixture
def state(tmp_path) -> Path:
    """A state after two steps, with averages."""
    path = tmp_path / "state.safetensors"
    save_state(finished(trainer(AVERAGED), 2), path)
    return path


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


def test_a_state_of_version_2_goes_on_with_noise_for_each_picture(state):
    def older(facts: dict, tensors: dict) -> None:
        facts["version"] = 2

    straight, resumed = finished(trainer(AVERAGED)), trainer(AVERAGED)
    load_state(resumed, rewritten(state, older))
    assert equal(finished(resumed), straight)


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
