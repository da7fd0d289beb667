"""A tuner file that is written over while it is loaded: told before the host reads its weights."""

from __future__ import annotations

import os
import shutil

import comfy.cli_args
import comfy.model_management
import pytest
from host_tools import run, sample
from support import GOLDEN


@pytest.fixture(params=["safetensors", "bin"])
def copied(request, pack):
    """A tuner file of its own in models/scedit."""
    source = {"safetensors": "sc_r01__swift_safetensors", "bin": "csc_k1"}[request.param]
    weights = next(GOLDEN.path(f"tuners/{source}").rglob(f"*.{request.param}"))
    folder = pack.nodes.files.folders.own_folder() / "mine"
    shutil.copytree(weights.parent, folder)
    yield folder / weights.name
    shutil.rmtree(folder)


def loaded(nodes, copied):
    """What a loader makes of it."""
    node = "SCEditLoadSCTuner" if copied.suffix == ".safetensors" else "SCEditLoadCSCTuner"
    return run(nodes[node], tuner_name=f"mine/{copied.name}")


def load_by_host(hosted):
    """Have the host load the weights anew."""
    comfy.model_management.unload_all_models()
    comfy.model_management.load_models_gpu([hosted.patcher])


def test_a_file_written_over_in_place_is_told_at_the_next_loading(pack, nodes, copied):
    hosted = loaded(nodes, copied)
    load_by_host(hosted)
    os.truncate(copied, 100)
    with pytest.raises(pack.scedit_core.SCEditError, match="was written over after it was loaded; run the"):
        load_by_host(hosted)


@pytest.mark.parametrize("copied", ["safetensors"], indirect=True)
def test_the_sampler_is_told_too(pack, nodes, model, copied):
    hosted = loaded(nodes, copied)
    patched = run(nodes["SCEditApplySCTuner"], model=model, tuner=hosted)
    sample(patched, steps=1)
    copied.write_bytes(bytes(copied.stat().st_size))
    with pytest.raises(pack.scedit_core.SCEditError, match="was written over"):
        sample(patched, steps=1)


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_file_that_is_replaced_or_deleted_does_no_harm(nodes, copied, change):
    hosted = loaded(nodes, copied)
    before = {key: value.clone() for key, value in hosted.patcher.model.state_dict().items()}
    if change == "replaced":
        (copied.parent / "new").write_bytes(b"new")
        os.replace(copied.parent / "new", copied)
    else:
        copied.unlink()
    load_by_host(hosted)
    assert all((hosted.patcher.model.state_dict()[key] == value).all() for key, value in before.items())


def test_without_mapping_the_weights_are_copied(nodes, copied, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "disable_mmap", True)
    hosted = loaded(nodes, copied)
    before = {key: value.clone() for key, value in hosted.patcher.model.state_dict().items()}
    copied.write_bytes(bytes(copied.stat().st_size))
    load_by_host(hosted)
    assert all((hosted.patcher.model.state_dict()[key] == value).all() for key, value in before.items())


def test_a_clone_of_the_host_looks_too(pack, nodes, copied):
    hosted = loaded(nodes, copied)
    clone = hosted.patcher.clone()
    os.truncate(copied, 100)
    with pytest.raises(pack.scedit_core.SCEditError, match="was written over"):
        comfy.model_management.load_models_gpu([clone])
