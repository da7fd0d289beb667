"""Names, notes, Tuner Info and Convert Tuner: what a user sees of the files there are."""

import json
import logging
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from host_tools import load, run
from safetensors.torch import save_file
from support import GOLDEN

STYLE = GOLDEN.tuner("sc_full")


@pytest.fixture
def models(pack):
    """models/scedit, emptied after each test."""
    folder = pack.nodes.files.folders.own_folder()
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)
    folder.mkdir()


def adapter(models: Path, *names: str) -> None:
    """Copies of a published style's adapter folder under these names."""
    for name in names:
        target = models / name
        target.mkdir(parents=True, exist_ok=True)
        source = next(STYLE.rglob("adapter_model.*"))
        shutil.copy(source, target)
        kind = "LORA" if "LoRA" in name else "SCETuning"
        (target / "adapter_config.json").write_text(json.dumps({"swift_type": kind}))


def own_names(pack, models: Path) -> list[str]:
    """Listed names of what is in models/scedit."""
    pack.nodes.files.folders.folder_paths.filename_list_cache.clear()
    return [name for name in pack.nodes.files.folders.tuner_names() if (models / name).exists()]


def test_names_are_those_of_folders_at_any_depth_with_forward_slashes(pack, models):
    adapter(models, "SD2.1/deep/Pencil/0_SwiftSCETuning", "Ink/0_SwiftSCETuning", "Ink/1_SwiftLoRA")
    save_file({"x": torch.ones(1)}, models / "SD2.1" / "one.safetensors")
    assert own_names(pack, models) == ["Ink", "SD2.1/deep/Pencil", "SD2.1/one.safetensors"]
    for name in ("SD2.1/deep/Pencil", r"SD2.1\deep\Pencil"):
        assert pack.nodes.files.folders.tuner_path(name) == models / "SD2.1" / "deep" / "Pencil"


def test_several_tuners_of_a_folder_are_listed_one_by_one(pack, nodes, models, caplog):
    adapter(models, "Two/0_SwiftSCETuning", "Two/1_SwiftSCETuning", "Two/2_SwiftLoRA")
    listed = own_names(pack, models)
    assert listed == ["Two", "Two/0_SwiftSCETuning", "Two/1_SwiftSCETuning"]
    with caplog.at_level(logging.INFO):
        run(nodes["SCEditLoadSCTuner"], tuner_name="Two")
    assert "2_SwiftLoRA (LORA) beside it was left alone" in caplog.text
    assert "'0_SwiftSCETuning' is used, choose 1_SwiftSCETuning in it for another" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_a_name_that_no_graph_can_hold_is_not_listed(pack, models):
    odd = os.fsencode(models) + b"/odd \xff.safetensors"
    save_file({"x": torch.ones(1)}, models / "plain.safetensors")
    shutil.copy(models / "plain.safetensors", odd)
    assert own_names(pack, models) == ["plain.safetensors"]
    names = pack.nodes.files.folders.tuner_names()
    assert all(name.encode() for name in names)


@pytest.mark.parametrize("name", ["gone", "a/../../b", "/etc/passwd", "C:/x", "", ".", "x" * 5000, "nul\0"])
def test_a_missing_file_names_the_folders_and_where_the_published_ones_are(pack, nodes, name):
    for node in ("SCEditLoadSCTuner", "SCEditLoadCSCTuner", "SCEditTunerInfo", "SCEditConvertTuner"):
        said = nodes[node].validate_inputs(tuner_name=name)
        assert str(pack.nodes.files.folders.own_folder()) in said
        assert "iic/scepter_scedit" in said
        assert "scepter-studio/scepter_scedit" in said
        assert said.isprintable()
        assert nodes[node].validate_inputs(tuner_name=None) is True


def test_info_says_what_the_file_is_in_the_node_and_as_text(nodes):
    with torch.inference_mode():
        result = nodes["SCEditTunerInfo"].execute(tuner_name=GOLDEN.tuner("csc_k1").name)
    text = result.args[0]
    assert "kind: CSC-Tuner (control)" in text
    assert "scepter CSC-Tuner" in text
    assert "SHA-256: " in text
    assert result.ui.as_dict()["text"] == (text,)


def test_info_and_converter_look_again_when_the_file_changed(pack, nodes, models):
    adapter(models, "Pencil/0_SwiftSCETuning")
    own_names(pack, models)
    before = {
        n: nodes[n].fingerprint_inputs(tuner_name="Pencil") for n in ("SCEditTunerInfo", "SCEditConvertTuner")
    }
    file = next(models.rglob("adapter_model.*"))
    os.utime(file, (1, 1))
    for node, fingerprint in before.items():
        assert nodes[node].fingerprint_inputs(tuner_name="Pencil") != fingerprint


@pytest.mark.parametrize(
    ("layout", "name"), [("SCEdit", "mine/style.safetensors"), ("scepter", "mine/style")]
)
def test_the_converter_writes_what_loaders_find_and_replaces_nothing(pack, nodes, models, layout, name):
    convert = nodes["SCEditConvertTuner"]
    given = {"tuner_name": STYLE.name, "name": "mine/style", "layout": layout}
    assert run(convert, **given) == name
    assert name in own_names(pack, models)
    second = run(convert, **given)
    assert second == name.replace("style", "style-2")
    loaded = run(nodes["SCEditLoadSCTuner"], tuner_name=name).patcher.model.state_dict()
    wanted = load(nodes, "SCEditLoadSCTuner", "sc_full").patcher.model.state_dict()
    assert loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[key], wanted[key]) for key in wanted)
