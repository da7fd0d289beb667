"""train.py evaluate: the newest tuner of a job is measured, and its figures go into its file."""

from __future__ import annotations

import json
import shutil

import folder_paths
import pytest
import torch
from job_tools import write_job
from PIL import Image
from support import REPOSITORY

from scedit_core import load_checkpoint, read_checkpoint
from scedit_core.evaluation.record import record_of

CANNY = REPOSITORY / "sandbox" / "models" / "scedit" / "canny_control" / "adapter_model.safetensors"


@pytest.fixture
def job(tmp_path):
    """A job's file, its tuner after the last step, and pictures that were kept out of it."""
    path = write_job(tmp_path)
    (tmp_path / "pictures").rename(tmp_path / "held out")
    asked = {"folder": "held out", "pictures": 2, "seeds": 1, "steps": 1, "cfg": 1.5, "keep_pictures": True}
    lines = ["", "[evaluate]", *(f"{key} = {json.dumps(value)}" for key, value in asked.items())]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines), encoding="utf-8")
    (tmp_path / "edges").mkdir()
    shutil.copyfile(CANNY, tmp_path / "edges" / "edges.safetensors")
    return path


def test_a_jobs_tuner_is_measured_and_its_file_says_so(job, train_py):
    tuner = job.parent / "edges" / "edges.safetensors"
    before = load_checkpoint(tuner).state_dict()
    status, said = train_py("evaluate", job, "--cpu")
    assert status == 0, said
    report = json.loads((tuner.parent / "evaluation.json").read_text(encoding="utf-8"))
    assert (report["kind"], report["pictures"], report["seeds"]) == ("canny", 2, [0])
    assert report["verdict"] in said
    metadata = read_checkpoint(tuner).metadata
    assert metadata["scedit.eval.verdict"] == report["verdict"]
    assert record_of(metadata).figures["edge_f1"]["on"].mean == report["figures"]["edge_f1"]["on"]["mean"]
    assert metadata["scedit.train.steps"] == "1800"
    after = load_checkpoint(tuner).state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert Image.open(tuner.parent / "evaluation.jpg").width > 400
    kept = sorted(path.relative_to(tuner.parent).as_posix() for path in tuner.parent.rglob("*.png"))
    ways = ("real", "with", "without")
    assert kept == [f"evaluation/{way}/00000{number}.png" for way in ways for number in range(2)]


def test_a_job_whose_hints_a_net_finds_looks_for_its_weights(tmp_path, train_py, monkeypatch):
    # as in a process of its own, where no node has made the folder known
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "scedit_annotators")
    data = {"hints": ["depth"], "dataset": "dataset"}
    status, said = train_py("prepare", write_job(tmp_path, data=data), "--cpu")
    assert status == 1
    assert "the weights dpt_hybrid-midas-501f0c75.pt (493 MB) are not on this computer" in said


def test_a_folder_of_something_else_is_seen_before_anything_is_loaded(job, train_py):
    (job.parent / "edges" / "evaluation").mkdir()
    (job.parent / "edges" / "evaluation" / "mine.txt").touch()
    status, said = train_py("evaluate", job)
    assert status == 1
    assert "there is something else of that name, or in it; move it away" in said
    assert "loads" not in said


def test_a_job_without_a_tuner_is_refused_before_anything_is_loaded(job, train_py):
    (job.parent / "edges" / "edges.safetensors").unlink()
    status, said = train_py("evaluate", job)
    assert status == 1
    assert "there is no tuner of 'edges'" in said
    assert "loads" not in said
