"""Trainings in several processes, joined by gloo: the same as one process, and everything that ends one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY

if not hasattr(os, "fork"):
    pytest.skip("the processes are started by fork", allow_module_level=True)

STARTER = """
import sys; sys.path[:0] = [{tests!r}, {here!r}]
import pathlib, support; support.load_package("scedit_core", pathlib.Path({core!r}))
import rank_cases; rank_cases.main()
"""
CONFIG = {"steps": 6, "batch_size": 4, "learning_rate": 1e-3, "seed": 3}
# seven pictures of three sizes in batches of three: some have two pictures, some a single one
ODD = {"steps": 50, "batch_size": 3, "learning_rate": 1e-4, "seed": 3}
EVERYTHING = {**ODD, "accumulation": 2, "caption_dropout": 0.5, "ema_decay": 0.9, "min_snr_gamma": 5.0}

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def starter() -> Iterator[subprocess.Popen]:
    """A process that starts others in no time."""
    here = Path(__file__).parent
    code = STARTER.format(
        tests=str(REPOSITORY / "tests"), here=str(here), core=str(REPOSITORY / "scedit_core")
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module")
def straights() -> dict[str, Any]:
    """What trainings without a break came to, for all tests that compare with one."""
    return {}


@pytest.fixture
def run(starter, tmp_path, straights) -> Run:
    """Run a training in so many processes; what each of them came to, or the signal that ended it."""

    def run(size: int, name: str, config: dict[str, Any] = CONFIG, **job: Any) -> list[dict[str, Any]]:
        if name != "straight":
            return begun(size, name, config, **job)
        asked = json.dumps([size, config, job], sort_keys=True)
        if asked not in straights:
            straights[asked] = begun(size, f"straight on {size}", config, **job)
        return straights[asked]

    def begun(size: int, name: str, config: dict[str, Any], **job: Any) -> list[dict[str, Any]]:
        folder = tmp_path / name
        folder.mkdir()
        starter.stdin.write(f"{json.dumps([size, {'folder': str(folder), 'config': config, **job}])}\n")
        starter.stdin.flush()
        codes = json.loads(starter.stdout.readline())
        files = [folder / f"{rank}.json" for rank in range(size)]
        return [
            json.loads(file.read_text()) if file.is_file() else {"killed": -code}
            for file, code in zip(files, codes, strict=True)
        ]

    return run


def state(tmp_path: Path, name: str) -> str:
    """The state that a run has left."""
    return str(tmp_path / name / "state.safetensors")


def farthest(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference between two runs' weights."""
    return max(abs(a - b) for a, b in zip(first["weights"], second["weights"], strict=True))


@pytest.mark.parametrize(
    ("config", "job"),
    [
        (ODD, {}),
        (ODD, {"specs": "two csc", "is_lazy": True}),
        (EVERYTHING, {}),
        (EVERYTHING, {"specs": "two csc"}),
    ],
    ids=["style", "controls, read ahead", "style, everything", "controls, everything"],
)
def test_two_processes_come_to_what_one_comes_to(config, job, run):
    (one,) = run(1, "straight", config, **job)
    two = run(2, "straight", config, **job)
    assert one["step"] == 50
    assert not one["sent"]
    assert farthest(two[0], one) < 1e-6
    assert two[0]["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert [two[1][key] for key in ("weights", "losses")] == [two[0][key] for key in ("weights", "losses")]


@pytest.mark.parametrize(
    ("config", "base"), [(CONFIG, "float16"), ({**CONFIG, "precision": "bf16"}, "bfloat16")]
)
def test_processes_stay_alike_in_half_precision(config, base, run):
    """In fp16 with losses that are scaled up, in bf16 with gradients that travel so."""
    (one,), (first, second) = (run(size, str(size), config, base=base) for size in (1, 2))
    assert first["step"] == 6
    assert (first["weights"], first["losses"]) == (second["weights"], second["losses"])
    assert first["losses"] == pytest.approx(one["losses"], rel=0.02)
    assert sum(size for size in first["sent"] if size > 100) == 6 * first["bytes"]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_as_many_processes_go_on_to_the_same_bits(size, run, tmp_path):
    config = {**CONFIG, "ema_decay": 0.9}
    straight = run(size, "straight", config, specs="two csc")
    run(size, "broken", {**config, "steps": 3}, specs="two csc")
    resumed = run(size, "resumed", config, specs="two csc", state=state(tmp_path, "broken"))
    assert [(each["weights"], each["losses"]) for each in resumed] == [
        (straight[0]["weights"], straight[0]["losses"])
    ] * size


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on_with_the_same_pictures_and_noise(first, then, run, tmp_path):
    straight, *_ = run(1, "straight", ODD)
    run(first, "broken", {**ODD, "steps": 20})
    resumed, *_ = run(then, "resumed", ODD, state=state(tmp_path, "broken"))
    assert resumed["step"] == 50
    assert farthest(resumed, straight) < 1e-6
    assert resumed["losses"] == pytest.approx(straight["losses"], rel=1e-4)


def test_what_travels_in_a_step_is_as_large_as_the_weights(run):
    (each, _), (half, other) = run(2, "full", {**CONFIG, "accumulation": 3}), run(2, "half", half=True)
    # beside the gradients a loss of 8 bytes, three flags of 4, and at the begin what has to be the same
    small = [size for size in each["sent"] if size < each["bytes"]]
    assert sum(each["sent"]) - sum(small) == 6 * each["bytes"]
    assert sum(small) < 6 * 40 + 200
    assert sum(size for size in half["sent"] if size > 100) == 6 * half["bytes"] // 2
    assert half["weights"] == other["weights"]


def test_gradients_in_half_precision_lead_to_nearly_the_same(run):
    (full, _), (half, _) = run(2, "straight", ODD), run(2, "half", ODD, half=True)
    moved = max(map(abs, full["weights"]))
    assert 0 < farthest(full, half) < 0.02 * moved
    assert half["losses"] == pytest.approx(full["losses"], rel=1e-3)


def test_a_killed_process_ends_the_others_with_a_sentence_and_the_last_good_state(run, tmp_path):
    straight, _ = run(2, "straight")
    first, killed = run(2, "broken", happens="kill", after=3)
    assert killed == {"killed": signal.SIGKILL}
    assert first["step"] == 3
    assert "another process of this training ended" in first["error"]
    assert "goes on from its last state" in first["error"]
    resumed, _ = run(2, "resumed", state=state(tmp_path, "broken"))
    assert (resumed["weights"], resumed["losses"]) == (straight["weights"], straight["losses"])


def test_the_first_process_killed_leaves_the_state_that_was_saved_on_the_way(run, tmp_path):
    straight, _ = run(2, "straight")
    _, second = run(2, "broken", happens="kill", to=0, after=3, save_every=2)
    assert "another process of this training ended" in second["error"]
    resumed, _ = run(2, "resumed", state=state(tmp_path, "broken"))
    assert (resumed["weights"], resumed["losses"]) == (straight["weights"], straight["losses"])


@pytest.mark.parametrize(
    ("happens", "here", "there"),
    [
        ("term", "", ""),
        ("nan", "the loss became nan after", "the loss became nan after"),
        ("fail", "the disk is gone", "another process of this training stopped with an error"),
        ("damaged", "is damaged", "another process of this training stopped with an error"),
    ],
)
def test_what_ends_one_process_ends_both_after_the_same_step(happens, here, there, run, tmp_path):
    longer, lazy = {**CONFIG, "steps": 40}, happens == "damaged"
    straight, _ = run(2, "straight", longer, is_lazy=lazy)
    first, second = run(2, "both", longer, happens=happens, is_lazy=lazy)
    assert second["error"].startswith(here) if here == there else here in second["error"]
    assert first["error"].startswith(there)
    assert bool(first["error"]) == bool(second["error"]) == bool(here)
    # what is read ahead, and a batch of one picture, which only the first process sees, put an error off
    assert 2 <= first["step"] == second["step"] < 6
    assert first["weights"] == second["weights"]
    again, _ = run(2, "again", longer, is_lazy=lazy, state=state(tmp_path, "both"))
    assert (again["weights"], again["losses"]) == (straight["weights"], straight["losses"])


def test_processes_with_different_jobs_are_told_so_before_the_first_step(run):
    for each in run(2, "both", happens="other seed"):
        assert "do not have the same settings; give all of them the same job" in each["error"]
        assert each["step"] == 0


def test_a_step_has_a_picture_for_each_process():
    from training_tools import trainer

    from scedit_core import SCEditError
    from scedit_core.training import Trainer
    from scedit_core.training.ranks import Alone

    class Three(Alone):
        size = 3

    run = trainer()
    with pytest.raises(SCEditError, match=r"batch_size is 2 for 3 processes.*set it to 3 or more"):
        Trainer(list(run.tuners), run.base, run.data, dataclasses.replace(run.config, batch_size=2), Three())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"WORLD_SIZE": "2"}, ["could not find each other", "RANK", "torchrun"]),
        ({"WORLD_SIZE": "two", "RANK": "0"}, ["could not find each other", "torchrun"]),
        ({"WORLD_SIZE": "0", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, ["torchrun"]),
    ],
    ids=["no rank", "a size in words", "no process"],
)
def test_processes_that_do_not_come_together_are_told_so(settings, words, monkeypatch):
    from scedit_core import SCEditError
    from scedit_core.training.ranks import joined

    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SCEditError) as caught, joined():
        pass
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
