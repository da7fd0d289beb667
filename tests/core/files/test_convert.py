"""Conversion: there and back with every byte, in both layouts, and one sentence where there is no way."""

import re
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support import GOLDEN, REPOSITORY
from test_formats import FOLDERS

from scedit_core import SCEditError, read_checkpoint
from scedit_core.convert import convert, main
from scedit_core.files.disk import read_tensors


def same_bytes(first, second) -> bool:
    """True if two sets of tensors have the same names, dtypes and bytes."""
    return first.keys() == second.keys() and all(
        first[key].dtype == second[key].dtype
        and torch.equal(first[key].contiguous().view(torch.uint8), second[key].contiguous().view(torch.uint8))
        for key in first
    )


def published_keys(folder) -> list[str]:
    """Keys of a folder in the authors' layout, less what differs between their own files."""
    keys = (re.sub(r"^(model\.)?(0\.)?", "", key) for key in read_tensors(folder).tensors)
    return sorted(key.replace("scetuner_0_SwiftSCETuning.", "") for key in keys)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_any_file_becomes_ours_without_loss(folder, tmp_path):
    source = convert(folder, tmp_path / "ours.safetensors")
    ours = read_checkpoint(tmp_path / "ours.safetensors")
    assert ours.format_name.startswith("SCEdit")
    assert ours.spec == source.spec
    assert same_bytes(ours.state_dict, source.state_dict)
    assert ours.metadata["scedit.converted_from"] == source.format_name
    assert len(ours.metadata["scedit.source_sha256"]) == 64


@pytest.mark.parametrize("name", ["sc_full", "sc_r01", "sc_layers", "csc_k1", "csc_s03", "csc_s07"])
def test_the_authors_layout_comes_back_with_the_same_keys_and_bytes(golden, name, tmp_path):
    convert(golden.tuner(name), tmp_path / "ours.safetensors")
    convert(tmp_path / "ours.safetensors", tmp_path / "back", "scepter")
    before, after = read_checkpoint(golden.tuner(name)), read_checkpoint(tmp_path / "back")
    assert after.spec == before.spec
    assert same_bytes(after.state_dict, before.state_dict)
    assert published_keys(tmp_path / "back") == published_keys(golden.tuner(name))
    convert(tmp_path / "back", tmp_path / "again.safetensors")
    assert same_bytes(read_checkpoint(tmp_path / "again.safetensors").state_dict, before.state_dict)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("layout", ["SCEdit", "scepter"])
def test_numbers_are_kept_as_they_are_stored(golden, dtype, layout, tmp_path):
    stored = dict(read_tensors(golden.tuner("sc_r01")).tensors)
    first = next(iter(stored))
    save_file(stored | {first: stored[first].to(dtype)}, tmp_path / "mixed.safetensors")
    target = tmp_path / ("target" if layout == "scepter" else "target.safetensors")
    convert(tmp_path / "mixed.safetensors", target, layout)
    before = read_checkpoint(tmp_path / "mixed.safetensors").state_dict
    assert same_bytes(read_checkpoint(target).state_dict, before)
    assert {tensor.dtype for tensor in before.values()} == {torch.float32, dtype}


def test_metadata_of_a_file_is_kept(golden, tmp_path):
    tensors = dict(read_tensors(golden.tuner("sc_r01")).tensors)
    save_file(tensors, tmp_path / "a.safetensors", {"modelspec.title": "Pencil", "trigger": "<sce>"})
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    with safe_open(tmp_path / "b.safetensors", framework="pt") as opened:
        assert opened.metadata()["modelspec.title"] == "Pencil"
        assert opened.metadata()["trigger"] == "<sce>"


@pytest.mark.parametrize("case", ["swift_encoder", "mkshing_linear2"])
def test_what_the_authors_layout_has_no_place_for_is_refused_and_leaves_nothing(case, tmp_path):
    with pytest.raises(SCEditError, match="SCEdit layout"):
        convert(GOLDEN.path(f"diffusers/{case}"), tmp_path / "back", "scepter")
    assert list(tmp_path.iterdir()) == []


def test_the_command_converts_and_says_what(golden, tmp_path, capsys):
    target = tmp_path / "ours.safetensors"
    command = [sys.executable, "-m", "scedit_core.convert", str(golden.tuner("sc_r01")), str(target)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout == f"swift SC-Tuner -> SCEdit: {target}\n"
    assert read_checkpoint(target).format_name == "SCEdit SC-Tuner"
    assert main([str(tmp_path / "gone.bin"), str(target)]) == 1
    assert "is no file or folder; choose a tuner file that exists" in capsys.readouterr().err
