"""A job in several processes: the tuner of one process but for rounding."""

from __future__ import annotations

import sys

from job_tools import train, write_job

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

MANY = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TRAINING = {"batch_size": 3, "accumulation": 2, "steps": 3}


def weights(folder):
    return load_checkpoint(folder / "edges" / "edges.safetensors").state_dict()


def test_two_processes_train_what_one_does_but_for_rounding(train_py, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    assert train_py("run", write_job(folders[0], training=TRAINING))[0] == 0
    said = train("run", write_job(folders[1], training=TRAINING), start=MANY)
    assert said.count("done, 3 steps") == 1  # the first process alone speaks
    results = Results(folders[1] / "edges")
    assert [one.step for one in results.read_metrics()] == [1, 2, 3]
    assert results.read_status().processes == 2
    one, two = map(weights, folders)
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5
