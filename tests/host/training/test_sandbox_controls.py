"""The sandbox's controls are trained by jobs of train.py, and a training that was stopped goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from job_tools import SANDBOX
from support import REPOSITORY, load_module

from scedit_core import read_tuners
from scedit_core.training.dataset.shards import open_dataset
from scedit_core.training.job.results import Results


@pytest.fixture
def controls(train_modules, monkeypatch):
    """train_controls.py, with a few small scenes."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(REPOSITORY / "sandbox")])
    module = load_module("scedit_train_controls", REPOSITORY / "sandbox" / "train_controls.py")
    monkeypatch.setattr(module, "PICTURES", {64: 2, 128: 2})
    monkeypatch.setattr(module, "LEARNING", module.LEARNING | {"batch_size": 2})
    monkeypatch.setattr(module, "register", train_modules[1].register)
    return module


def test_a_control_is_trained_from_scenes_of_two_sizes_and_goes_on_where_it_was_stopped(controls, tmp_path):
    name = "color_control"
    control = controls.replace(controls.CONTROLS[name], steps=4, kernel=1)
    jobs = controls.Jobs(Path(os.environ["COMFYUI_PATH"]), tmp_path, SANDBOX)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "stop").touch()
    with pytest.raises(SystemExit, match="was stopped; run this again"):
        jobs.train(name, control)
    stored = open_dataset(folder / "dataset")
    assert sorted(map(tuple, stored.shapes.tolist())) == sorted([(8, 8), (16, 16)] * 2 * control.copies)
    files = [*(folder / "pictures").rglob("*.*"), *(folder / "dataset").iterdir()]
    before = {file: file.stat().st_mtime_ns for file in files}
    made, told = jobs.train(name, control)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert [one["step"] for one in told] == [1, 2, 3, 4]
    assert [one["learning_rate"] for one in told] == pytest.approx([2e-3, 2e-3, 4e-4, 4e-4])
    assert Results(folder).read_status().state == "done"
    target = tmp_path / "scedit" / "adapter_model.safetensors"
    controls.save_control(made, name, control.condition, target)
    saved, tuners = read_tuners(target)
    assert saved.metadata["scedit.condition"] == control.condition
    assert saved.metadata["scedit.train.pictures"] == str(4 * control.copies)
    assert {tensor.dtype for tensor in tuners.state_dict().values()} == {torch.float16}
