"""Lists in nodes: each loader its own kind, folders of pictures, and neither read again without need."""

import os

import folder_paths
import pytest
from host_tools import run

from scedit_core import SkipLayout, TunerSpec, build_tuners, save_checkpoint

LAYOUT = SkipLayout.from_channels((64,) * 5 + (32,) * 4)


def options(node, name):
    """What a list offers."""
    return next(one.options for one in node.define_schema().inputs if one.id == name)


@pytest.fixture
def tuners(tmp_path, monkeypatch):
    """A folder of a style, a control and a file of no kind, in place of all others."""
    for name, kind in (("b_style", "sc"), ("a_control", "csc")):
        save_checkpoint(build_tuners(getattr(TunerSpec, kind)(LAYOUT, 8)), tmp_path / f"{name}.safetensors")
    (tmp_path / "0_torn.safetensors").write_bytes(b"torn")
    suffixes = folder_paths.folder_names_and_paths["scedit"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "scedit", ([str(tmp_path)], suffixes))
    folder_paths.filename_list_cache.pop("scedit", None)
    yield tmp_path
    folder_paths.filename_list_cache.pop("scedit", None)


LOADERS = {
    "SCEditLoadSCTuner": ("b_style.safetensors", "a_control.safetensors", "Load CSC-Tuner"),
    "SCEditLoadCSCTuner": ("a_control.safetensors", "b_style.safetensors", "Load SC-Tuner"),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_a_loader_lists_its_kind_and_then_what_tells_none_and_refuses_the_other(nodes, tuners, loader):
    own, other, right = LOADERS[loader]
    node = nodes[loader]
    assert options(node, "tuner_name") == [own, "0_torn.safetensors"]
    assert node.validate_inputs(tuner_name=own) is True
    assert node.validate_inputs() is True  # a link brings the name
    assert right in node.validate_inputs(tuner_name=other)
    with pytest.raises(ValueError, match=right):
        run(node, tuner_name=other)


def test_a_file_that_was_replaced_by_the_other_kind_changes_lists(nodes, tuners):
    assert "b_style.safetensors" in options(nodes["SCEditLoadSCTuner"], "tuner_name")
    save_checkpoint(build_tuners(TunerSpec.csc(LAYOUT, 4)), tuners / "b_style.safetensors")
    assert "b_style.safetensors" not in options(nodes["SCEditLoadSCTuner"], "tuner_name")
    assert "b_style.safetensors" in options(nodes["SCEditLoadCSCTuner"], "tuner_name")


@pytest.mark.parametrize("node", [*LOADERS, "SCEditTunerInfo", "SCEditConvertTuner"])
def test_a_list_without_tuners_says_what_to_do(nodes, tuners, node):
    for file in tuners.iterdir():
        file.unlink()
    folder_paths.filename_list_cache.pop("scedit", None)
    (only,) = options(nodes[node], "tuner_name")
    assert only == "none yet: put tuners into models/scedit and press R"
    assert "press R" in nodes[node].validate_inputs(tuner_name=only)


@pytest.fixture
def input_folder(tmp_path):
    """An empty input folder."""
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_input_directory(before)


def test_without_folders_of_pictures_the_list_and_the_refusal_say_what_to_do(nodes, input_folder):
    (input_folder / "empty").mkdir()
    (input_folder / "loose.png").touch()  # not in a folder
    node = nodes["SCEditTrainingFolder"]
    (only,) = options(node, "folder")
    assert only.startswith("no folders yet")
    said = node.validate_inputs(folder=only)
    assert all(word in said for word in [str(input_folder), ".png", "press R", "(empty)"]), said


def test_new_and_emptied_folders_are_seen_at_once(nodes, input_folder):
    node = nodes["SCEditTrainingFolder"]
    for name in ("one", "one/two"):
        (input_folder / name).mkdir()
        (input_folder / name / "a.png").touch()
        assert name in options(node, "folder")
    (input_folder / "one" / "a.png").unlink()
    assert options(node, "folder") == ["one/two"]


def test_a_folder_that_did_not_change_is_not_read_again(nodes, input_folder, monkeypatch):
    for name in ("one", "two"):
        (input_folder / name).mkdir()
        (input_folder / name / "a.png").touch()
    for place in (input_folder, *input_folder.iterdir()):
        os.utime(place, ns=(1, 1))  # long ago
    node = nodes["SCEditTrainingFolder"]
    assert options(node, "folder") == ["one", "two"]
    read, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: read.append(place) or scandir(place))
    assert options(node, "folder") == ["one", "two"]
    assert read == []
    (input_folder / "two" / "b.png").touch()
    options(node, "folder")
    assert [os.path.basename(place) for place in read] == ["two"]
    read.clear()
    node.fingerprint_inputs(folder="two")
    assert len(read) == 1  # once in a run
