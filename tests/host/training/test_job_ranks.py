"""A job in several processes: the tuner of one process but for rounding, stopped and gone on with."""

from __future__ import annotations

import sys

import pytest
from job_tools import train, write_job

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

MANY = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TRAINING = {"batch_size": 3, "accumulation": 2, "steps": 3}


def weights(folder):
    return load_checkpoint(folder / "edges" / "edges.safetensors").state_dict()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Folder of a job that one process did."""
    folder = tmp_path_factory.mktemp("alone")
    train("run", write_job(folder, training=TRAINING))
    return folder


def test_two_processes_train_what_one_does_but_for_rounding(alone, tmp_path):
    job = write_job(tmp_path, training=TRAINING)
    results = Results(tmp_path / "edges")
    results.folder.mkdir()
    results.stop.touch()
    said = train("run", job, start=MANY)
    assert "stopped at step 0 of 3" in said
    assert results.read_status().processes == 2
    said = train("run", job, start=MANY)
    assert said.count("done, 3 steps") == 1  # the first process alone speaks
    assert [one.step for one in results.read_metrics()] == [1, 2, 3]
    one, two = weights(alone), weights(tmp_path)
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


def test_what_one_process_cannot_do_ends_both_in_a_sentence(tmp_path):
    said = train("run", write_job(tmp_path, training={"batch_size": 1}), start=MANY, expected=1)
    assert "train.py: batch_size is 1 for 2 processes" in said
    assert Results(tmp_path / "edges").read_status().state == "failed"
