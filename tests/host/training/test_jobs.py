"""train.py, a training from a file: the same tuner as the node's, bit for bit, and what lies beside it."""

from __future__ import annotations

import comfy.sd
import folder_paths
import pytest
import torch
from job_tools import JOB, SANDBOX, train, write_job
from PIL import Image
from support import REPOSITORY, load_module
from training_node_tools import weights

from scedit_core import load_checkpoint, read_checkpoint
from scedit_core.training.job import read_job
from scedit_core.training.job.results import Results


@pytest.fixture(scope="module")
def checkpoint():
    """The sandbox's model, text encoder and VAE."""
    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    return comfy.sd.load_checkpoint_guess_config(str(SANDBOX))[:3]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Folder of a job that was run to its end by train.py, with samples on the way, and what was said."""
    folder = tmp_path_factory.mktemp("job")
    run = {"sample_every": 4, "samples": 3, "sample_steps": 2, "prompts": ["a tree", "a house"]}
    return folder, train("run", write_job(folder, run=run))


def by_nodes(nodes, checkpoint, folder):
    """The same job by 'Training Folder' and 'Train CSC-Tuner'."""
    model, clip, vae = checkpoint
    data, settings = dict(JOB["data"]), JOB["training"] | JOB["run"] | JOB["tuner"]
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(folder))
    hint = data.pop("hints")[0]
    try:
        with torch.inference_mode():
            read = nodes["SCEditTrainingFolder"].execute(vae=vae, clip=clip, hint=hint, **data).args
            settings = {**settings, "tuner_op": "adapter", "kernel": 1, "memory": "less"}
            settings.pop("kind")
            widgets = {name: [value] for name, value in settings.items()}
            latents, positive, empty, hints, _ = read
            given = {"model": [model], "latents": latents, "positive": positive, "empty": [empty]}
            node = nodes["SCEditTrainCSCTuner"]
            return node.execute(**given, hints={"hint0": hints}, **widgets).args[0]
    finally:
        folder_paths.set_input_directory(before)


@pytest.mark.usefixtures("output")
def test_a_job_and_the_node_train_the_same_control_bit_for_bit(nodes, checkpoint, done):
    trained = weights(by_nodes(nodes, checkpoint, done[0]))
    from_job = load_checkpoint(done[0] / "edges" / "edges.safetensors").state_dict()
    assert from_job.keys() == trained.keys()
    assert [key for key in trained if not torch.equal(trained[key], from_job[key])] == []
    assert any(value.any() for key, value in trained.items() if ".up." in key)


def test_a_job_leaves_all_that_was_promised(done):
    results = Results(done[0] / "edges")
    told = results.read_metrics()
    assert [one.step for one in told] == [1, 2, 3, 4]
    assert {one.learning_rate for one in told} == {1e-3}
    assert all(one.seconds > 0 and one.loss > 0 for one in told)
    status = results.read_status()
    assert (status.state, status.step, status.steps) == ("done", 4, 4)
    assert Image.open(results.folder / "loss.png").size == (768, 432)
    assert [sheet.name for sheet in results.sheets()] == ["step000004.jpg"]
    names = {path.name for path in results.folder.glob("*.safetensors")}
    assert names == {f"edges{end}.safetensors" for end in ("", "-step000002", "-step000004")} | {
        "state.safetensors"
    }
    last, on_the_way = (
        read_checkpoint(results.folder / f"edges{end}.safetensors").metadata for end in ("", "-step000002")
    )
    assert (last["scedit.train.steps"], on_the_way["scedit.train.steps"]) == ("4", "2")
    assert last["modelspec.title"] == "edges"
    assert read_job(results.job).output == results.folder
    assert "5 pictures" in done[1]
    assert "step 4 of 4, loss" in done[1]


def test_it_is_done_before_and_exported_where_it_is_used(done, tmp_path, train_py):
    folder = done[0]
    before = (folder / "edges" / "metrics.jsonl").read_bytes()
    status, said = train_py("run", folder / "job.toml")
    assert (status, "done before, 4 steps" in said) == (0, True)
    assert (folder / "edges" / "metrics.jsonl").read_bytes() == before
    assert train_py("export", folder / "job.toml", "--to", tmp_path, "--dtype", "fp16")[0] == 0
    exported = read_checkpoint(tmp_path / "edges.safetensors")
    assert {value.dtype for value in exported.state_dict.values()} == {torch.float16}
    assert exported.metadata["scedit.train.steps"] == "4"
