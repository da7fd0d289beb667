"""Tuner files: every published layout gives the same tuners, and saving loses nothing."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scedit_core import (
    EncoderSize,
    SCEditError,
    SkipEdit,
    SkipLayout,
    TunerSpec,
    build_tuners,
    edit_skip,
    load_checkpoint,
    prepare_edit,
    read_checkpoint,
    save_checkpoint,
)
from scedit_core.files.disk import read_tensors
from scedit_core.files.layouts import detect_format
from scedit_core.spec import StemSize

# levels of unequal depth: the widths alone do not tell where this U-Net halves
UNEQUAL = SkipLayout((16, 8, 8, 8, 4, 4, 4), (1, 2, 1, 1, 2, 1, 1))


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """True if both have the same weights, bit for bit and in the same dtype."""
    a, b = first.state_dict(), second.state_dict()
    same = all(a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a.keys() & b.keys())
    return same and a.keys() == b.keys() and first.spec == second.spec


STEM = StemSize(0.25, 8)
SPECS = {
    "sc": TunerSpec.sc(UNEQUAL),
    "csc": TunerSpec.csc(UNEQUAL, encoder=EncoderSize(stem=STEM)),
    "sc with convs": TunerSpec.sc(UNEQUAL, 2, op="conv"),
    "sc with lora": TunerSpec.sc(UNEQUAL, 2, (0, 3, 6), op="lora"),
    "csc of some blocks": TunerSpec.csc(UNEQUAL, 1, (0, 2, 6), encoder=EncoderSize(3, STEM)),
    "csc with lora": TunerSpec.csc(UNEQUAL, 4, op="lora", encoder=EncoderSize(stem=STEM)),
    "csc with dual convs": TunerSpec.csc(UNEQUAL, 2, op="conv", encoder=EncoderSize(1, STEM, True)),
}


def fresh(kind: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Random tuners for a U-Net of unequal levels."""
    torch.manual_seed(0)
    tuners = build_tuners(SPECS[kind], dtype=dtype)
    for weights in tuners.parameters():
        torch.nn.init.normal_(weights)
    return tuners


def write_adapter(folder, swift_type: str, tensors: dict) -> None:
    """One adapter folder as ms-swift writes it."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"swift_type": swift_type}))
    torch.save(tensors, folder / "adapter_model.bin")


@pytest.mark.parametrize("name", ["sc_full", "sc_layers", "csc_k1", "csc_s07"])
def test_a_bin_and_a_safetensors_of_the_same_weights_load_equally(golden, name, tmp_path):
    raw = read_tensors(golden.tuner(name))
    for file in ("same.safetensors", "loud.SAFETENSORS"):
        save_file(dict(raw.tensors), tmp_path / file)
    torch.save(dict(raw.tensors), tmp_path / "same.bin")
    torch.save(dict(raw.tensors), tmp_path / "older.bin", _use_new_zipfile_serialization=False)
    wanted = load_checkpoint(golden.tuner(name))
    for copy in tmp_path.iterdir():
        assert equal(load_checkpoint(copy), wanted), copy.name


@pytest.mark.parametrize("name", ["sc_full", "sc_r01", "csc_k1", "csc_s03"])
def test_a_folder_the_folder_inside_and_the_file_load_equally(golden, name):
    folder = golden.tuner(name)
    file = read_tensors(folder).path
    wanted = load_checkpoint(file)
    assert equal(load_checkpoint(folder), wanted)
    assert equal(load_checkpoint(file.parent), wanted)
    assert equal(load_checkpoint(str(file)), wanted)


@pytest.mark.parametrize(("tuner", "lora"), [("0_SwiftSCETuning", "1_SwiftLoRA"), ("1_Style", "0_SwiftLoRA")])
def test_a_lora_beside_a_tuner_is_passed_over(golden, tuner, lora, tmp_path):
    write_adapter(tmp_path / lora, "LORA", {"text_model.lora_A.weight": torch.ones(2, 2)})
    write_adapter(tmp_path / tuner, "SCETuning", dict(read_tensors(golden.tuner("sc_full")).tensors))
    assert equal(load_checkpoint(tmp_path), load_checkpoint(golden.tuner("sc_full")))
    shutil.rmtree(tmp_path / tuner)
    with pytest.raises(SCEditError, match="folder without tuner weights"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", SPECS)
def test_saving_a_loaded_file_again_gives_the_same_bytes(kind, dtype, tmp_path):
    tuners, metadata = fresh(kind, dtype), {f"note {i}": "Bäume, 木\n" * i for i in range(9)}
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_checkpoint(tuners, first, metadata)
    loaded = load_checkpoint(first)
    assert equal(loaded, tuners)
    save_checkpoint(loaded, second, read_checkpoint(first).metadata)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["sc_full", "sc_layers", "csc_k1", "csc_s03", "csc_s07"])
def test_a_published_tuner_saved_as_ours_is_the_same_tuner(golden, name, tmp_path):
    tuners = load_checkpoint(golden.tuner(name))
    save_checkpoint(tuners, tmp_path / "ours.safetensors")
    assert equal(load_checkpoint(tmp_path / "ours.safetensors"), tuners)


def test_metadata_is_kept_and_says_kind_and_strides(tmp_path):
    metadata = {"author": "someone", "trigger": "<sce>"}
    save_checkpoint(fresh("csc"), tmp_path / "control.safetensors", metadata)
    assert metadata == {"author": "someone", "trigger": "<sce>"}
    checkpoint = read_checkpoint(tmp_path / "control.safetensors")
    own = {
        "scedit.kind": "csc",
        "scedit.op": "adapter",
        "scedit.layout": "1",
        "scedit.strides": "1,2,1,1,2,1,1",
    }
    assert checkpoint.metadata == metadata | own
    assert checkpoint.format_name == "SCEdit CSC-Tuner"
    assert checkpoint.spec.hint.strides == UNEQUAL.strides


def test_a_failing_save_leaves_the_old_file_whole_and_nothing_else(tmp_path):
    target = tmp_path / "tuner.safetensors"
    save_checkpoint(fresh("sc"), target)
    before = target.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(fresh("csc"), target, {"steps": 500})
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_save_takes_the_old_files_place_and_never_writes_into_it(tmp_path):
    target, reader = tmp_path / "tuner.safetensors", tmp_path / "reader"
    save_checkpoint(fresh("sc"), target)
    before = target.read_bytes()
    reader.hardlink_to(target)  # as one sees the file who opened it before the save
    save_checkpoint(fresh("csc"), target)
    assert reader.read_bytes() == before
    assert equal(load_checkpoint(target), fresh("csc"))


def test_a_save_onto_a_folder_leaves_the_folder_and_nothing_else(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "kept.txt").write_text("kept")
    with pytest.raises(SCEditError, match=r"'folder' could not be written .* nothing half written"):
        save_checkpoint(fresh("sc"), target)
    assert [file.name for file in tmp_path.rglob("*")] == ["folder", "kept.txt"]


def test_a_saved_file_may_be_read_by_whom_any_other_file_may(tmp_path):
    (tmp_path / "plain").touch()
    save_checkpoint(fresh("sc"), tmp_path / "tuner.safetensors")
    assert (tmp_path / "tuner.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(("name", "linears", "convs"), [("sc_layers", 6, 0), ("csc_k1", 12, 13)])
def test_layers_are_made_by_the_given_operations(golden, name, linears, convs):
    class Counting:
        """Layers of torch, counted."""

        made: list[str] = []  # noqa: RUF012 - lives as long as the test

        @classmethod
        def Linear(cls, *args, **kwargs):
            cls.made.append("linear")
            return torch.nn.Linear(*args, **kwargs)

        @classmethod
        def Conv2d(cls, *args, **kwargs):
            cls.made.append("conv")
            return torch.nn.Conv2d(*args, **kwargs)

    tuners = load_checkpoint(golden.tuner(name), operations=Counting)
    made = list(Counting.made)
    assert (made.count("linear"), made.count("conv")) == (linears, convs)
    assert equal(tuners, load_checkpoint(golden.tuner(name)))


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["sc", "csc"])
def test_a_saved_tuner_edits_as_before(kind, tmp_path):
    tuners, hint = fresh(kind), torch.rand(1, 3, 64, 64) if kind == "csc" else None
    save_checkpoint(tuners, tmp_path / "tuner.safetensors")
    loaded = load_checkpoint(tmp_path / "tuner.safetensors")
    skip = torch.randn(1, 16, 2, 2)
    prepared = [prepare_edit(SkipEdit(each, hint=hint), 8, 8, skip) for each in (tuners, loaded)]
    first, second = (edit_skip(skip, 0, [edit]) for edit in prepared)
    assert torch.equal(first, second)


def test_a_folder_of_several_adapters_says_which_is_used_and_what_is_left_alone(golden, tmp_path):
    style = dict(read_tensors(golden.tuner("sc_full")).tensors)
    for name, kind in (("0_Style", "SCETuning"), ("1_SwiftLoRA", "LORA"), ("2_Style", "SCETuning")):
        write_adapter(tmp_path / "styles" / name, kind, style)
    notes = read_checkpoint(tmp_path / "styles").notes
    assert notes == (
        "1_SwiftLoRA (LORA) beside it was left alone: it is no SCEdit tuner",
        "the folder holds several tuners; '0_Style' is used, choose 2_Style in it for another",
    )
    assert read_checkpoint(tmp_path / "styles" / "2_Style").notes == ()
    shutil.rmtree(tmp_path / "styles" / "0_Style")
    shutil.rmtree(tmp_path / "styles" / "2_Style")
    with pytest.raises(SCEditError, match=r"it holds 1_SwiftLoRA \(LORA\), which no SCEdit node reads"):
        read_checkpoint(tmp_path / "styles")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_eight_bit_weights_are_used_as_bfloat16_which_holds_them_exactly(golden, dtype, suffix, tmp_path):
    stored = {key: t.to(dtype) for key, t in read_tensors(golden.tuner("sc_r01")).tensors.items()}
    file = tmp_path / f"stored.{suffix}"
    save_file(stored, file) if suffix == "safetensors" else torch.save(stored, file)
    tuners = load_checkpoint(file)
    wanted = {detect_format(stored).canonical(key): tensor for key, tensor in stored.items()}
    for key, tensor in tuners.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor.float(), wanted[key].float())
    assert tuners.delta(0, torch.randn(1, 96, 2, 2, dtype=torch.bfloat16)).isfinite().all()


def test_numbers_of_several_widths_are_used_at_the_widest(golden, tmp_path):
    mixed = dict(read_tensors(golden.tuner("sc_r01")).tensors)
    first = next(iter(mixed))
    mixed[first] = mixed[first].half()
    save_file(mixed, tmp_path / "mixed.safetensors")
    tuners = load_checkpoint(tmp_path / "mixed.safetensors")
    assert {weights.dtype for weights in tuners.parameters()} == {torch.float32}


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_weights_stay_in_the_mapped_file(suffix, tmp_path):
    file = tmp_path / f"tuner.{suffix}"
    if suffix == "bin":
        torch.save(fresh("sc").state_dict(), file)
    else:
        save_checkpoint(fresh("sc"), file)
    tuners = load_checkpoint(file)
    maps = Path("/proc/self/maps")
    if maps.is_file():  # elsewhere there is no way to see it
        assert str(file) in maps.read_text()
    with torch.no_grad():  # a write goes to a copy of the page, never to the file
        before = file.read_bytes()
        for weights in tuners.parameters():
            weights.add_(1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_weights_load_though_their_sum_is_infinite(dtype, tmp_path):
    tuners = fresh("sc", dtype)
    for weights in tuners.parameters():
        torch.nn.init.constant_(weights, torch.finfo(dtype).max)
    save_checkpoint(tuners, tmp_path / "large.safetensors")
    assert equal(load_checkpoint(tmp_path / "large.safetensors"), tuners)
