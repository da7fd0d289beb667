"""Tuners written in the authors' layout are what the authors' own files hold, and load back exactly."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import GOLDEN

from scedit_core import EncoderSize, SCEditError, SkipLayout, TunerSpec, build_tuners, load_checkpoint
from scedit_core.export import ADAPTER, write_published
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
