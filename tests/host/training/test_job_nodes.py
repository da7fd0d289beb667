"""Jobs in ComfyUI: written by one node, shown and stopped by another, wherever they run."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import replace

import comfy.model_management
import folder_paths
import numpy as np
import pytest
import torch
from dataset_tools import write
from job_tools import SANDBOX

from scedit_core.training.job import read_job
from scedit_core.training.job.results import Metric, Results, Status


@pytest.fixture
def export(nodes, pack, output, tmp_path, monkeypatch):
    """Exports a job on a data set of three pictures; the node's outputs."""
    stored = pack.scedit_core.training.dataset.shards.open_dataset(write(tmp_path / "set", 3))
    dataset = pack.nodes.sockets.HostedDataset(tmp_path / "set", stored)
    monkeypatch.setattr(folder_paths, "get_filename_list", lambda _: [SANDBOX.name])
    monkeypatch.setattr(folder_paths, "get_full_path", lambda *_: str(SANDBOX))
    widgets = {
        "steps": 7, "batch_size": 2, "accumulation": 1, "learning_rate": 2e-4, "seed": 5, "tuner_op": "lora",
        "ratio": 2.0, "kernel": 3, "kind": "csc", "checkpoint": SANDBOX.name, "name": "a/edges",
    }  # fmt: skip
    node = nodes["SCEditExportTrainingJob"]

    def call(**changes):
        plain = replace(
            stored, manifest=replace(stored.manifest, head=replace(stored.manifest.head, hints=()))
        )
        sets = {"with hints": dataset, "without hints": replace(dataset, stored=plain)}
        chosen = sets[changes.pop("dataset", "with hints")]
        return node.execute(dataset=chosen, **(widgets | changes)).args

    return call


def test_an_exported_job_says_what_the_widgets_said(export, output, tmp_path):
    name, command = export(prompts="a tree\n\n a house ", sample_every=3)
    assert name == "a/edges"
    path = output / "scedit_jobs" / "a" / "edges" / "job.toml"
    job = read_job(path)
    assert (job.model.checkpoint, job.model.sha256) == (
        SANDBOX.name, hashlib.sha256(SANDBOX.read_bytes()).hexdigest(),
    )  # fmt: skip
    assert (job.training.steps, job.training.learning_rate, job.training.memory) == (7, 2e-4, "less")
    assert (job.tuner.tuner_op, job.tuner.ratio, job.tuner.kernel) == ("lora", 2.0, 3)
    assert job.path(job.data.dataset) == tmp_path / "set"
    assert (job.run.prompts, job.run.sample_every) == (("a tree", "a house"), 3)
    assert job.output == path.parent
    assert shlex.split(command)[-4:-2] == ["run", str(path)]
    assert "torch.distributed.run --standalone --nproc-per-node=4 " in export(processes=4)[1]


def test_a_packed_job_brings_its_data_set_and_takes_up_changes(export, output, tmp_path):
    for _ in range(2):
        export(pack_data=True)
        job = read_job(output / "scedit_jobs" / "a" / "edges" / "job.toml")
        packed = job.path(job.data.dataset)
        assert packed == output / "scedit_jobs" / "a" / "edges" / "dataset"
        names = {file.name for file in (tmp_path / "set").iterdir()}
        assert {file.name for file in packed.iterdir()} == names
    (tmp_path / "set" / "shard-000000.tar").unlink()
    (packed / "shard-000000.tar").unlink()
    with pytest.raises(ValueError, match=r"'shard-000000.tar' of the data set is missing"):
        export(pack_data=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks": "all"}, "blocks are numbers"),
        ({"kernel": 2}, "odd"),
        ({"dataset": "without hints"}, "holds no hints"),
        ({"checkpoint": "gone.safetensors"}, "checkpoint is one of"),
        ({"name": "../out"}, "is no name for a file here"),
    ],
)
def test_a_job_that_train_py_would_refuse_is_not_written(export, output, changes, words):
    with pytest.raises(ValueError, match=words):
        export(**changes)
    assert not list(output.rglob("job.toml"))


@pytest.fixture
def watched(output):
    """Results of a job on a disk that others write to."""
    folder = output / "scedit_jobs" / "edges"
    folder.mkdir(parents=True)
    (folder / "job.toml").touch()
    return Results(folder)


def watch(nodes, **widgets):
    return nodes["SCEditWatchTrainingJob"].execute(job="edges", **widgets)


def test_a_job_is_shown_as_it_is(nodes, watched):
    shown = watch(nodes)
    assert shown.args[3].startswith("edges: not begun")
    watched.begin(0)
    for step in (1, 2):
        watched.tell(Metric(step, 0.5, 2.0, 1e-4))
    watched.put(Status("running", "trains", 0, 10))
    samples, plot, step, report = watch(nodes).args
    assert (step, report) == (2, "edges: running, step 2 of 10, loss 0.5000, 2.00 s per step, 16 s left")
    assert samples is plot
    watched.put_sheet(2, np.full((8, 16, 3), 200, np.uint8))
    (watched.folder / "samples" / "step000003.jpg").write_bytes(b"half of a picture")
    samples = watch(nodes).args[0]
    assert samples.shape == (1, 8, 16, 3)
    assert torch.allclose(samples, torch.tensor(200 / 255), atol=0.02)
    long_ago = watched.metrics.stat().st_mtime - 4000
    for name in ("metrics.jsonl", "status.json"):
        os.utime(watched.folder / name, (long_ago, long_ago))
    assert "nothing was written for 67 min" in watch(nodes).args[3]
    watched.put(Status("failed", "the loss became nan after 2 steps", 2, 10))
    assert watch(nodes).args[3] == "edges: failed: the loss became nan after 2 steps"


def test_it_waits_for_the_end_and_asks_for_it_by_a_file(nodes, watched, pack, monkeypatch):
    watched.put(Status("running", "trains", 0, 10))
    looks = []

    def pause():
        looks.append(watched.stop.exists())
        watched.put(Status("stopped", "stopped at step 0 of 10, kept; run again to go on", 0, 10))

    monkeypatch.setattr(pack.nodes.training.watch_job, "_pause", pause)
    shown = watch(nodes, wait=True, stop=True)
    assert looks == [True]
    assert shown.args[3].startswith("edges: stopped: stopped at step 0 of 10")


def test_a_cancel_leaves_the_job_alone(nodes, watched):
    watched.put(Status("running", "trains", 0, 10))
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        watch(nodes, wait=True)
    assert not watched.stop.exists()


def test_jobs_are_listed_from_all_places_and_the_inside_of_none(pack, watched, tmp_path):
    folders = pack.nodes.training.job_folders
    inside = watched.folder / "dataset"
    inside.mkdir()
    (inside / "job.toml").touch()
    (tmp_path / "cluster" / "deep").mkdir(parents=True)
    (tmp_path / "cluster" / "deep" / "job.toml").touch()
    folder_paths.add_model_folder_path("scedit_jobs", str(tmp_path / "cluster"))
    try:
        assert folders.job_names() == ["deep", "edges"]
        assert folders.job_path("deep") == tmp_path / "cluster" / "deep"
    finally:
        del folder_paths.folder_names_and_paths["scedit_jobs"]
    assert folders.job_names() == ["edges"]
