"""Jobs that cannot be done end in one sentence and status 1; stopped ones go on to the same bits."""

from __future__ import annotations

import hashlib
import signal
import socket
import sys

import pytest
import torch
from job_tools import COMFYUI, SANDBOX, TRAIN, told_to_end, train, write_job
from support import REPOSITORY

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

if sys.platform != "win32":
    import resource


def _no_text(folder):
    (folder / "pictures" / "3.txt").unlink()


def _no_pictures(folder):
    for picture in (folder / "pictures").glob("*.png"):
        picture.unlink()


def _blocked(folder):
    (folder / "edges").write_text("a file where the results go")


def _half_state(folder):
    (folder / "edges").mkdir()
    (folder / "edges" / "state.safetensors").write_bytes(SANDBOX.read_bytes()[:5000])


def _half_checkpoint(folder):
    (folder / "half.safetensors").write_bytes(SANDBOX.read_bytes()[:5000])


WRONG_HASH = "0" * 64
REFUSED = {
    "no such checkpoint": (
        {"model": {"checkpoint": "missing.safetensors"}}, None, ["no checkpoint 'missing.safetensors' in "],
    ),
    "another checkpoint": (
        {"model": {"sha256": WRONG_HASH}}, None, ["has the SHA-256 ", f"was made for {WRONG_HASH}"],
    ),
    "a checkpoint that is none": (
        {"model": {"checkpoint": str(REPOSITORY / "README.md")}}, None, ["'README.md' is no checkpoint"],
    ),
    "half a checkpoint": ({"model": {"checkpoint": "half.safetensors"}}, _half_checkpoint, ["cannot load"]),
    "a folder that is not there": ({"data": {"folder": "elsewhere"}}, None, ["folder 'elsewhere'"]),
    "no pictures": ({}, _no_pictures, ["no pictures in 'pictures'"]),
    "no caption": ({}, _no_text, ["1 of 5 pictures have no caption (3.png)"]),
    "no ready hints": ({"data": {"hints": ["from folder"]}}, None, ["no folder 'hints' beside the pictures"]),
    "blocks that the model has not": ({"tuner": {"blocks": "99"}}, None, ["got [99]"]),
    "a start that is not there": ({"tuner": {"start": ["x.safetensors"]}}, None, ["x.safetensors"]),
    "results where a file is": ({}, _blocked, ["could not be written to "]),
    "half a state": ({}, _half_state, ["'state.safetensors' is no whole training state"]),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "harm", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_job_that_cannot_be_done_says_why(train_py, tmp_path, changes, harm, words):
    path = write_job(tmp_path, **changes)
    if harm is not None:
        harm(tmp_path)
    status, said = train_py("run", path)
    assert status == 1
    last = said.splitlines()[-1]
    assert last.startswith("train.py: ")
    assert [word for word in words if word not in last] == []
    told = Results(tmp_path / "edges").read_status()
    assert told is None if harm is _blocked else (told.state, f"train.py: {told.said}") == ("failed", last)


def test_what_is_missing_before_anything_is_loaded_is_said(train_py, tmp_path, monkeypatch):
    path = write_job(tmp_path)
    status, said = train_py("run", path, "--comfyui", tmp_path)
    assert (status, "is no ComfyUI folder" in said) == (1, True)
    monkeypatch.delenv("COMFYUI_PATH")
    status, said = train_py("run", path)
    assert (status, "ComfyUI was not found" in said) == (1, True)
    assert "there is no job file" in train_py("run", tmp_path / "other.toml")[1]
    monkeypatch.setenv("COMFYUI_PATH", COMFYUI)
    status, said = train_py("export", path)
    assert (status, "there is no tuner of 'edges' in " in said) == (1, True)


def test_more_processes_than_cards_are_refused(train_py, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    status, said = train_py("run", write_job(tmp_path))
    assert (status, "process 2 of this computer has no graphics card to itself: there are 2" in said) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [("0", "could not find each other"), ("2", "with another --master-port if that one is taken")],
    ids=["no process", "a port that is taken"],
)
def test_processes_that_cannot_come_together_are_told_so(train_py, tmp_path, monkeypatch, size, words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}
        for name, value in {"WORLD_SIZE": size, "RANK": "0", **address}.items():
            monkeypatch.setenv(name, value)
        status, said = train_py("run", write_job(tmp_path))
    last = said.splitlines()[-1]
    assert (status, last.startswith("train.py: "), words in last) == (1, True, True), said
    assert not (tmp_path / "edges").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_said_and_costs_what_was_done_since_the_last_save(train_py, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full, small = (100_000, limits[1]), {"resolution": 64}
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, full)
        status, said = train_py("run", write_job(tmp_path, data=small))
        assert (status, "make room" in said.splitlines()[-1]) == (1, True)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert train_py("run", write_job(tmp_path, data=small, training={"steps": 1}))[0] == 0
        state = (tmp_path / "edges" / "state.safetensors").read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, full)
        status, said = train_py("run", write_job(tmp_path, data=small))
        assert "step 4 of 4" in said  # it goes on, as there may be room later
        assert (status, "make room" in said.splitlines()[-1]) == (1, True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert Results(tmp_path / "edges").read_status().state == "failed"
    assert (tmp_path / "edges" / "state.safetensors").read_bytes() == state
    assert [f for f in (tmp_path / "edges").iterdir() if f.suffix == ".part"] == []
    status, said = train_py("run", write_job(tmp_path, data=small))
    assert (status, "goes on from step 1" in said) == (0, True)


def test_the_right_hash_is_accepted_and_the_file_stop_ends_a_run_that_goes_on_later(train_py, tmp_path):
    digest = hashlib.sha256(SANDBOX.read_bytes()).hexdigest().upper()
    path = write_job(tmp_path, model={"sha256": digest})
    results = Results(tmp_path / "edges")
    results.folder.mkdir()
    results.stop.touch()
    status, said = train_py("run", path)
    assert status == 0
    assert "of 4, kept; run again to go on" in said
    assert results.read_status().state == "stopped"
    assert not results.stop.exists()
    assert not results.newest_tuners("edges")
    status, said = train_py("run", path)
    assert (status, "goes on from step" in said) == (0, True)
    straight = tmp_path / "straight"
    straight.mkdir()
    assert train_py("run", write_job(straight))[0] == 0
    first, second = (
        load_checkpoint(folder / "edges" / "edges.safetensors").state_dict()
        for folder in (tmp_path, straight)
    )
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert [one.step for one in results.read_metrics()] == [1, 2, 3, 4]


def test_a_signal_ends_a_run_after_its_step_with_its_state(tmp_path):
    path = write_job(tmp_path, training={"steps": 100_000}, run={"save_every": 0})
    results = Results(tmp_path / "edges")
    command = [sys.executable, str(TRAIN), "run", str(path), "--comfyui", COMFYUI]
    returned, said = told_to_end(results, command)
    assert returned == 128 + signal.SIGTERM, said
    status = results.read_status()
    assert (status.state, status.steps) == ("stopped", 100_000)
    assert results.read_metrics()[-1].step == status.step > 0
    assert f"stopped at step {status.step} of 100000" in said


def test_the_help_teaches_without_loading_comfyui(train_modules, capsys):
    assert "torchrun --nproc-per-node=4 train.py run JOB.toml" in train("--help", COMFYUI_PATH="")
    for arguments, words in {
        ("run", "--help"): [
            "[training]  How it learns.",
            "[run]  Where results go",
            "From 1 to 4096. Default 4.",
        ],
        ("paint",): ["invalid choice"],
    }.items():
        with pytest.raises(SystemExit):
            train_modules[0].main([*arguments])
        told = capsys.readouterr()
        assert [word for word in words if word not in told.out + told.err] == []
