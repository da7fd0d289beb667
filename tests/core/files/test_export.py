"""Tuners written in the authors' layout are what the authors' own files hold, and load back exactly."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import GOLDEN

from scedit_core import (
    EncoderSize,
    SCEditError,
    SkipLayout,
    TunerSpec,
    build_tuners,
    load_checkpoint,
    save_checkpoint,
)
from scedit_core.files.published import ADAPTER, write_published
from scedit_core.spec import StemSize

LAYOUT = SkipLayout((8, 8, 8, 8), (1, 2, 1, 1))
NAMES = [name for name in GOLDEN.index["tuners"] if GOLDEN.has_tuner(name)]


def random_tuners(spec: TunerSpec) -> Any:
    """Tuners with weights that are not zero."""
    tuners = build_tuners(spec)
    with torch.no_grad():
        for weights in tuners.parameters():
            weights.normal_(generator=torch.Generator().manual_seed(weights.numel()))
    return tuners


@pytest.mark.parametrize("name", NAMES)
def test_golden_tuners_come_back_exactly(name: str, tmp_path: Path) -> None:
    tuners = load_checkpoint(GOLDEN.tuner(name))
    write_published(tuners, tmp_path / name)
    again = load_checkpoint(tmp_path / name)
    assert again.spec == tuners.spec
    pairs = zip(again.state_dict().items(), tuners.state_dict().items(), strict=True)
    assert all(key == other and torch.equal(a, b) for (key, a), (other, b) in pairs)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("csc")])
def test_the_configuration_says_what_the_authors_says(name: str, tmp_path: Path) -> None:
    source = GOLDEN.tuner(name)
    entry = GOLDEN.index["tuners"][name]
    write_published(load_checkpoint(source), tmp_path / name)
    found = json.loads((tmp_path / name / ADAPTER / "configuration.json").read_text())["CONTROL_MODEL"]
    wanted = json.loads((source / entry["config"]).read_text())
    wanted = wanted.get("CONTROL_MODEL", wanted)
    ratio = wanted.get("DOWN_RATIO", 1.0)  # where controls read it
    exceptions = {"SCALE": 1.0, "DOWN_RATIO": ratio, "SC_TUNER_CFG": {**found["SC_TUNER_CFG"]}}
    assert found == wanted | exceptions
    assert found["SC_TUNER_CFG"]["DOWN_RATIO"] == ratio


@pytest.mark.parametrize("ratio", [1.0, 3.0, 7.3])
def test_ranks_follow_from_the_ratio_as_the_authors_compute_them(ratio: float, tmp_path: Path) -> None:
    spec = TunerSpec.sc(SkipLayout((1280, 640, 320), (1, 1, 1)), ratio)
    write_published(random_tuners(spec), tmp_path / "style")
    config = json.loads((tmp_path / "style" / ADAPTER / "adapter_config.json").read_text())
    assert [int(width * config["down_ratio"]) for width in config["dims"]] == list(spec.ranks.values())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TunerSpec.sc(LAYOUT, op="conv"), ["adapters alone", "'conv'"]),
        (TunerSpec.sc(LAYOUT, op="lora"), ["'lora'", "SCEdit layout"]),
        (
            TunerSpec.csc(LAYOUT, encoder=EncoderSize(stem=StemSize(0.25, 8), is_dual=True)),
            ["no dual convs"],
        ),
        (
            TunerSpec.csc(LAYOUT, blocks=(0,), encoder=EncoderSize(stem=StemSize(0.25, 8))),
            ["tuners at [0]", "convs at [0, 2]"],
        ),
        (TunerSpec("sc", {0: 8, 1: 8}, {0: 8, 1: 2}), ["one ratio", "{0: 8, 1: 2}"]),
    ],
)
def test_what_the_layout_has_no_place_for_is_refused(
    spec: TunerSpec, words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SCEditError) as caught:
        write_published(random_tuners(spec), tmp_path / "tuner")
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_earlier_folder_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "style"
    write_published(random_tuners(TunerSpec.sc(LAYOUT)), target)
    before = {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}

    def full(_file: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SCEditError, match=r"could not be written.*No space left.*nothing half written"):
        write_published(random_tuners(TunerSpec.sc(LAYOUT, ratio=2.0)), target)
    assert {file: file.read_bytes() for file in target.rglob("*") if file.is_file()} == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_there_is_replaced(tmp_path: Path) -> None:
    for ratio in (1.0, 2.0):
        write_published(random_tuners(TunerSpec.sc(LAYOUT, ratio)), tmp_path / "style")
    assert load_checkpoint(tmp_path / "style").spec == TunerSpec.sc(LAYOUT, 2.0)
    assert [file.name for file in tmp_path.iterdir()] == ["style"]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: files with their bytes, folders and links without."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def style(ratio: float = 1.0) -> Any:
    """A style for the small layout."""
    return random_tuners(TunerSpec.sc(LAYOUT, ratio))


def _folder_of_tuners(place: Path) -> None:
    write_published(style(), place / "Pencil")
    (place / "ink.safetensors").write_bytes(b"ink")


def _downloaded(place: Path) -> None:
    shutil.copytree(GOLDEN.tuner("csc_k1"), place)
    inner = next(place.rglob("configuration.json"))
    inner.write_text(json.dumps(json.loads(inner.read_text()), indent=4))


def _with_a_picture(place: Path) -> None:
    write_published(style(), place)
    (place / ADAPTER / "preview.png").write_bytes(b"picture")


def _with_own_settings(place: Path) -> None:
    write_published(style(), place)
    (place / "configuration.json").write_text('{"mine": true}')


def _linked_adapter(place: Path) -> None:
    write_published(style(), place.parent / "elsewhere")
    place.mkdir()
    (place / ADAPTER).symlink_to(place.parent / "elsewhere" / ADAPTER)


def _link(place: Path) -> None:
    write_published(style(), place.parent / "elsewhere")
    place.symlink_to(place.parent / "elsewhere")


NOT_OURS = {
    "a folder of tuners": (_folder_of_tuners, ["Pencil", "ink.safetensors"]),
    "a published folder of others": (_downloaded, ["configuration.json"]),
    "one with a picture in it": (_with_a_picture, ["preview.png"]),
    "one with settings of its own": (_with_own_settings, ["configuration.json"]),
    "one with a linked adapter": (_linked_adapter, [ADAPTER]),
    "a link": (_link, ["it is a link"]),
    "a broken link": (lambda place: place.symlink_to("gone"), ["it is a link"]),
    "a file": (lambda place: place.write_bytes(b"weights"), ["it is a file"]),
}


@pytest.mark.parametrize(("make", "words"), NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_this_pack_did_not_write_is_never_replaced(make: Any, words: list[str], tmp_path: Path) -> None:
    make(tmp_path / "SD2.1")
    before = contents(tmp_path)
    with pytest.raises(SCEditError, match="choose another name; nothing was changed") as caught:
        write_published(style(2.0), tmp_path / "SD2.1")
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert contents(tmp_path) == before


def test_a_style_and_a_control_replace_each_other_without_a_trace(tmp_path: Path) -> None:
    control = random_tuners(TunerSpec.csc(LAYOUT, encoder=EncoderSize(stem=StemSize(0.25, 8))))
    for number, tuners in enumerate((style(), control, style(2.0))):
        write_published(tuners, tmp_path / "one")
        write_published(tuners, tmp_path / f"fresh{number}")
        assert contents(tmp_path / "one") == contents(tmp_path / f"fresh{number}")


def test_what_a_killed_process_left_is_read_over_and_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write_published(style(), folder)
    half = folder / f"{ADAPTER}.0123abcd.part"
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"half")
    (folder / "configuration.json.0123abcd.part").write_bytes(b"{")
    (folder / ADAPTER).rename(folder / f"{ADAPTER}.0123abcd.old")
    assert load_checkpoint(folder).spec == TunerSpec.sc(LAYOUT)
    write_published(style(2.0), folder)
    write_published(style(2.0), tmp_path / "fresh")
    assert contents(folder) == contents(tmp_path / "fresh")


def test_a_place_that_cannot_be_written_leaves_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for write in (write_published, save_checkpoint):
        with pytest.raises(SCEditError, match="could not be written to"):
            write(style(), tmp_path / "file" / "deep" / "style")
    with pytest.raises(SCEditError, match="could not be written to"):
        save_checkpoint(style(), tmp_path / "new" / "deeper" / ("x" * 300))
    assert contents(tmp_path) == {"file": b""}
