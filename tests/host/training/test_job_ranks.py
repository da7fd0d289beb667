"""A job in several processes: the tuner of one process but for rounding, whatever ended it on the way."""

from __future__ import annotations

import shutil
import signal
import sys

import pytest
from job_tools import TRAIN, told_to_end, write_job
from rank_tools import Starter

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

MANY = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TRAINING = {"batch_size": 3, "accumulation": 2, "steps": 4}


def weights(folder):
    return load_checkpoint(folder / "edges" / "edges.safetensors").state_dict()


def farthest(one, two):
    return max(float((one[key] - two[key]).abs().max()) for key in one)


def job(folder):
    """A job of four steps, saved after every second one."""
    folder.mkdir()
    return write_job(folder, training=TRAINING, data={"resolution": 64})


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
    assert "done, 4 steps" in said[0]
    assert not said[1]  # the first process alone speaks
    results = Results(folder / "edges")
    assert [one.step for one in results.read_metrics()] == [1, 2, 3, 4]
    assert results.read_status().processes == 2
    return weights(folder)


def test_two_processes_train_what_one_does_but_for_rounding(train_py, straight, tmp_path):
    path = job(tmp_path / "one")
    assert train_py("run", path)[0] == 0
    assert farthest(weights(path.parent), straight) < 1e-5


def test_a_killed_process_ends_the_job_with_a_sentence_and_its_last_state(starter, straight, tmp_path):
    path = job(tmp_path / "killed")
    results = Results(path.parent / "edges")
    statuses, said = starter.run(path, 2, str(int(signal.SIGKILL)), after=3)
    assert statuses == [1, -signal.SIGKILL]
    last = said[0].splitlines()[-1]
    assert last.startswith("train.py: another process of this training ended or can no longer be reached")
    assert last.endswith("start again: the training goes on from its last state")
    status = results.read_status()
    assert (status.state, f"train.py: {status.said}") == ("failed", last)
    statuses, said = starter.run(path, 2)
    assert statuses == [0, 0], said
    assert "goes on from step" in said[0]
    assert [one.step for one in results.read_metrics()] == [1, 2, 3, 4]
    assert farthest(weights(path.parent), straight) == 0


def test_the_file_stop_ends_both_and_any_number_goes_on(starter, straight, train_py, tmp_path):
    path = job(tmp_path / "stopped")
    results = Results(path.parent / "edges")
    statuses, said = starter.run(path, 2, "stop", after=2)
    assert statuses == [0, 0], said
    status = results.read_status()
    assert (status.state, status.step) == ("stopped", results.read_metrics()[-1].step)
    assert 1 <= status.step < 4
    assert not results.stop.exists()
    shutil.copytree(path.parent, tmp_path / "alone")
    assert starter.run(path, 2)[0] == [0, 0]
    assert farthest(weights(path.parent), straight) == 0
    assert train_py("run", tmp_path / "alone" / "job.toml")[0] == 0
    assert farthest(weights(tmp_path / "alone"), straight) < 1e-5


def test_torchrun_passes_a_signal_on_and_both_stop_after_the_same_step(tmp_path):
    steps, run = {**TRAINING, "steps": 100_000}, {"save_every": 0}
    path = write_job(tmp_path, training=steps, data={"resolution": 64}, run=run)
    results = Results(tmp_path / "edges")
    command = [*MANY, str(TRAIN), "run", str(path)]
    returned, said = told_to_end(results, command, OMP_NUM_THREADS="1")
    assert returned != 0
    status = results.read_status()
    assert status.state == "stopped", said
    assert status.processes == 2
    assert said.count(f"stopped at step {status.step} of 100000, kept; run again to go on") == 1
