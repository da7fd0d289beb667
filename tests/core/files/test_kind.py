"""The kind of a tuner is told by its header, as reading it whole would tell it."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from scedit_core import SkipLayout, TunerSpec, build_tuners, read_checkpoint, save_checkpoint
from scedit_core.files.kind import tuner_kind, weight_file

LAYOUT = SkipLayout.from_channels((64,) * 5 + (32,) * 4)


def test_golden_tuners_of_every_layout_have_the_kind_that_reading_them_tells(golden):
    folders = [folder for folder in sorted((golden.folder / "tuners").iterdir()) if folder.is_dir()]
    assert folders
    kinds = {folder.name: tuner_kind(weight_file(folder)) for folder in folders}
    assert kinds == {folder.name: read_checkpoint(folder).spec.kind for folder in folders}
    assert {"sc", "csc"} == set(kinds.values())


@pytest.mark.parametrize("kind", ["sc", "csc"])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_own_files_and_pickled_ones_tell_their_kind(tmp_path, kind, suffix):
    tuners = build_tuners(getattr(TunerSpec, kind)(LAYOUT, 8))
    file = tmp_path / f"tuner{suffix}"
    if suffix == ".bin":
        torch.save(dict(tuners.state_dict()), file)
    else:
        save_checkpoint(tuners, file)
    assert tuner_kind(file) == kind


def test_no_weights_are_read(tmp_path):
    save_checkpoint(build_tuners(TunerSpec.csc(LAYOUT, 8)), tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    size = 8 + struct.unpack("<Q", whole[:8])[0]
    (tmp_path / "header.safetensors").write_bytes(whole[:size])
    assert tuner_kind(tmp_path / "header.safetensors") == "csc"


def header(text):
    """A safetensors file of this header alone."""
    return struct.pack("<Q", len(text)) + text


UNKNOWN = {
    "empty": b"",
    "no header": struct.pack("<Q", 1 << 60),
    "torn header": struct.pack("<Q", 100) + b'{"tuners.0',
    "no object": header(b"[1, 2]"),
    "odd metadata": header(json.dumps({"__metadata__": {"scedit.kind": "dit"}}).encode()),
    "no text": header(b"\xff\xfe"),
}


@pytest.mark.parametrize("content", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_tells_no_kind_is_of_none_and_raises_nothing(tmp_path, content):
    for name in ("file.safetensors", "file.bin"):
        (tmp_path / name).write_bytes(content)
        assert tuner_kind(tmp_path / name) is None


def test_a_lora_a_missing_file_and_an_empty_folder_are_of_no_kind(tmp_path):
    save_file({"lora_unet_mid_block.lora_up.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    assert tuner_kind(tmp_path / "lora.safetensors") is None
    assert tuner_kind(tmp_path / "absent.safetensors") is None
    (tmp_path / "nothing").mkdir()
    assert weight_file(tmp_path / "nothing") is None
