"""A job in several processes: the tuner of one process but for rounding, whatever ended it on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from job_tools import COMFYUI, TRAIN, train, write_job
from rank_tools import Starter

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

MANY = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TRAINING = {"batch_size": 3, "accumulation": 2, "steps": 5}


def weights(folder):
    return load_checkpoint(folder / "edges" / "edges.safetensors").state_dict()


def farthest(one, two):
    return max(float((one[key] - two[key]).abs().max()) for key in one)


def job(folder):
    """A job of five steps, saved after every second one."""
    folder.mkdir()
    return write_job(folder, training=TRAINING)


@pytest.fixture(scope="module")
def starter():
    """What runs jobs in several processes."""
    starter = Starter()
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def straight(starter, tmp_path_factory):
    """The weights that two processes come to without a break."""
    folder = tmp_path_factory.mktemp("two") / "straight"
    statuses, said = starter.run(job(folder), 2)
    assert statuses == [0, 0], said
    assert "done, 5 steps" in said[0]
    assert not said[1]  # the first process alone speaks
    results = Results(folder / "edges")
    assert [one.step for one in results.read_metrics()] == [1, 2, 3, 4, 5]
    assert results.read_status().processes == 2
    return weights(folder)


def test_two_processes_train_what_one_does_but_for_rounding(train_py, straight, tmp_path):
    path = job(tmp_path / "one")
    assert train_py("run", path)[0] == 0
    assert farthest(weights(path.parent), straight) < 1e-5


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_job_with_a_sentence_and_its_last_state(
    victim, starter, straight, tmp_path
):
    path = job(tmp_path / "killed")
    results = Results(path.parent / "edges")
    statuses, said = starter.run(path, 2, str(int(signal.SIGKILL)), to=victim, after=4)
    assert (statuses[victim], statuses[1 - victim]) == (-signal.SIGKILL, 1)
    last = said[1 - victim].splitlines()[-1]
    assert last.startswith("train.py: another process of this training ended or can no longer be reached")
    assert last.endswith("start again: the training goes on from its last state")
    status = results.read_status()
    if victim == 1:  # the first one tells it to whoever looks at the folder
        assert (status.state, f"train.py: {status.said}") == ("failed", last)
    statuses, said = starter.run(path, 2)
    assert statuses == [0, 0], said
    assert "goes on from step" in said[0]
    assert [one.step for one in results.read_metrics()] == [1, 2, 3, 4, 5]
    assert farthest(weights(path.parent), straight) == 0


@pytest.mark.parametrize("how", ["stop", str(int(signal.SIGTERM))])
def test_what_stops_one_process_stops_both_and_any_number_goes_on(how, starter, straight, train_py, tmp_path):
    path = job(tmp_path / "stopped")
    results = Results(path.parent / "edges")
    statuses, said = starter.run(path, 2, how, after=3)
    assert statuses == [0, 0 if how == "stop" else 128 + signal.SIGTERM], said
    status = results.read_status()
    assert (status.state, status.step) == ("stopped", results.read_metrics()[-1].step)
    assert 2 <= status.step < 5
    assert not results.stop.exists()
    shutil.copytree(path.parent, tmp_path / "alone")
    assert starter.run(path, 2)[0] == [0, 0]
    assert farthest(weights(path.parent), straight) == 0
    assert train_py("run", tmp_path / "alone" / "job.toml")[0] == 0
    assert farthest(weights(tmp_path / "alone"), straight) < 1e-5


def test_torchrun_passes_a_signal_on_and_its_next_run_goes_on(tmp_path):
    path = write_job(tmp_path, training={**TRAINING, "steps": 100_000}, run={"save_every": 0})
    results = Results(tmp_path / "edges")
    settings = {"OMP_NUM_THREADS": "1", "COMFYUI_PATH": COMFYUI}
    launcher = subprocess.Popen(
        [*MANY, str(TRAIN), "run", str(path)],
        env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not results.read_metrics() and launcher.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        launcher.send_signal(signal.SIGTERM)
        said, _ = launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    assert launcher.returncode != 0
    status = results.read_status()
    assert status.state == "stopped", said
    assert status.processes == 2
    assert said.count(f"stopped at step {status.step} of 100000, kept; run again to go on") == 1
    write_job(tmp_path, training={**TRAINING, "steps": status.step + 1})
    said = train("run", path, start=MANY)
    assert f"goes on from step {status.step}" in said
    assert results.read_status().state == "done"
