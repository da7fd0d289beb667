"""Jobs on a data set: prepared by train.py, learnt from as the node does, refused in a sentence."""

from __future__ import annotations

import comfy.sd
import pytest
import torch
from job_tools import JOB, SANDBOX, write_job
from support import REPOSITORY, load_module
from training_node_tools import weights

from scedit_core import load_checkpoint
from scedit_core.training.job.results import Results

DATA = {"dataset": "set", "hints": ["canny", "color"]}


@pytest.fixture
def prepared(train_py, tmp_path):
    """A job whose data set was made."""
    path = write_job(tmp_path, data=DATA, run={"sample_every": 4, "sample_steps": 1})
    status, said = train_py("prepare", path)
    assert status == 0, said
    return path


@pytest.mark.usefixtures("output")
def test_a_job_and_the_node_learn_the_same_from_a_data_set(prepared, train_py, nodes, pack, tmp_path):
    files = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "set").glob("shard*")}
    assert train_py("prepare", prepared)[0] == 0
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "set").glob("shard*")} == files
    status, said = train_py("run", prepared)
    assert status == 0, said
    assert f"5 pictures in {tmp_path / 'set'}" in said
    assert len(Results(tmp_path / "edges").sheets()) == 1
    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    model, clip, _ = comfy.sd.load_checkpoint_guess_config(str(SANDBOX))[:3]
    stored = pack.scedit_core.training.dataset.shards.open_dataset(tmp_path / "set")
    dataset = pack.nodes.sockets.HostedDataset(tmp_path / "set", stored, clip)
    settings = {**JOB["training"], **JOB["tuner"], "name": "edges", "tuner_op": "adapter", "kernel": 1}
    del settings["kind"]
    widgets = {name: [value] for name, value in (settings | {"memory": "less"}).items()}
    with torch.inference_mode():
        trained = nodes["SCEditTrainCSCTuner"].execute(model=[model], dataset=[dataset], **widgets).args
    for number, place in enumerate((0, 3)):
        ours = load_checkpoint(tmp_path / "edges" / f"edges-{number}.safetensors").state_dict()
        theirs = weights(trained[place])
        assert [key for key in theirs if not torch.equal(theirs[key], ours[key])] == []


def _other_vae(path):
    (path.parent / "set" / "dataset.json").write_text(
        (path.parent / "set" / "dataset.json").read_text().replace('"vae": "', '"vae": "0')
    )


def _no_shard(path):
    next((path.parent / "set").glob("shard-*.tar")).unlink()


@pytest.mark.parametrize(
    ("harm", "changes", "words"),
    [
        (_other_vae, {}, "latents of another VAE"),
        (_no_shard, {}, "is missing; copy it again"),
        (None, {"resolution": 192}, "128 x 128 pixels, but 192 x 192"),
        (None, {"hints": ["color"]}, "has the hints canny, color, and the job says color"),
        (None, {"dataset": "other"}, "there is no data set in "),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(prepared, train_py, tmp_path, harm, changes, words):
    if harm is not None:
        harm(prepared)
    status, said = train_py("run", write_job(tmp_path, data=DATA | changes))
    assert status == 1
    assert words in said.splitlines()[-1]


def test_what_cannot_be_prepared_says_why(train_py, tmp_path):
    status, said = train_py("prepare", write_job(tmp_path))
    assert (status, "[data] has to name both" in said) == (1, True)
    status, said = train_py("prepare", write_job(tmp_path, data=DATA | {"folder": "nowhere"}))
    assert (status, "'nowhere' is no folder" in said) == (1, True)
    (tmp_path / "pictures" / "3.txt").unlink()
    status, said = train_py("prepare", write_job(tmp_path, data=DATA))
    assert (status, "1 of 5 pictures have no caption (3.png)" in said.splitlines()[-1]) == (1, True)
    assert not (tmp_path / "set").exists()
