"""Pictures become a data set that is brought up to date, and kept whole whatever happens."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from folder_tools import ramp, save
from prepare_tools import DEVICE, SETTINGS, Cancelled, Stopping, captions, files, means, run

from scedit_core import SCEditError
from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.folder import FolderSettings, Triplet, load_hints
from scedit_core.training.dataset.pictures import load_picture
from scedit_core.training.dataset.shards import open_dataset, writer
from scedit_core.training.dataset.shards.ahead import batches
from scedit_core.training.dataset.shards.manifest import read_manifest

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "files"))
from power_tools import Disk

ALL = [f"<t> caption {name}" for name in "abcdefg"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Three examples to a shard, where real ones have thousands."""
    monkeypatch.setattr(writer, "MOST_EXAMPLES", 3)


def test_an_example_is_what_the_folder_node_makes_of_a_picture(place, target):
    report = run(place, target, replace(SETTINGS, hint_variants=2, hints=("canny", "masked image", "color")))
    dataset = open_dataset(target)
    assert (report.added, report.kept, report.removed, report.left_out.count) == (7, 0, 0, 0)
    seen = set()
    for example in map(dataset.read, range(7)):
        name = example.caption[-1]
        file = next(place.rglob(f"{name}.png"))
        size = (128, 64) if name in "be" else (72, 64)
        crop = SETTINGS.crop(*size)
        picture = load_picture(file, crop)
        assert example.sizes == Crop(size, crop.size).sizes
        assert np.array_equal(example.latent, means(picture[None])[0].astype(np.float16))
        if file.parent == place:  # deeper ones are drawn by their whole name
            seen.add(name)
            for hint, kind in zip(example.hints, ("canny", "masked image", "color"), strict=True):
                folder = FolderSettings(hint=kind, hint_variants=2, resolution=64)
                wanted = load_hints(Triplet(file, None, None), crop, picture, folder)
                assert np.array_equal(hint.movedim(1, -1).numpy(), wanted)
    assert seen == set("aceg")


def test_pictures_that_are_not_enlarged_keep_their_size_in_the_set(place, target):
    settings = replace(SETTINGS, resolution=128)
    run(place, target, settings)
    enlarged = open_dataset(target).shapes.tolist()
    report = run(place, target, replace(settings, enlarge=False))
    assert (report.added, report.kept) == (7, 0)  # another word on sizes makes each anew
    # none has as many pixels as a square of 128; the widest have 128 x 64
    assert {tuple(one.latent.shape[1:]) for one in map(open_dataset(target).read, range(7))} == {(8, 8)}
    assert enlarged != open_dataset(target).shapes.tolist()
    assert run(place, target, replace(settings, enlarge=False)).kept == 7


def test_what_nets_draw_comes_in_its_place_among_the_kinds(place, target):
    run(place, target, replace(SETTINGS, hints=("color", "depth", "canny")))
    example = open_dataset(target).read(0)
    assert [tuple(hint.shape) for hint in example.hints] == [(1, 3, *example.hints[0].shape[2:])] * 3
    file = next(place.rglob(f"{example.caption[-1]}.png"))
    picture = load_picture(file, SETTINGS.crop(*ramp_size(file)))
    assert np.array_equal(example.hints[1][0].movedim(0, -1).numpy(), 255 - picture)


def ramp_size(file):
    """Width and height of a picture of the tools."""
    return (128, 64) if file.stem in "be" else (72, 64)


def test_a_second_run_touches_nothing(place, target):
    first = run(place, target)
    before = files(target)
    again = run(place, target)
    assert (again.added, again.kept, again.removed, again.examples) == (0, 7, 0, 7)
    assert files(target) == before
    assert again.bytes == first.bytes


def test_added_removed_and_changed_pictures_change_only_their_shards(place, target):
    run(place, target)
    dataset, before = open_dataset(target), files(target)
    gone, changed = (dataset.read(number).caption[-1] for number in (0, 3))  # of the first and second shard
    os.unlink(next(place.rglob(f"{gone}.png")))
    next(place.rglob(f"{changed}.txt")).write_text("new words")
    save(place, "new.png", caption="another")
    report = run(place, target)
    assert (report.added, report.kept, report.removed) == (2, 5, 2)
    kept = {f"<t> caption {n}" for n in set("abcdefg") - {gone, changed}}
    assert captions(target) == sorted({*kept, "<t> new words", "<t> another"})
    after = files(target)
    assert after["shard-000002.tar"] == before["shard-000002.tar"]
    assert not {"shard-000000.tar", "shard-000001.tar", "shard-000000.index.npy"} & set(after)
    assert [s.examples for s in read_manifest(target).shards] == [1, 2, 2, 2]


def test_a_cancel_keeps_what_is_done_and_the_next_run_goes_on(place, target):
    with pytest.raises(Cancelled):
        run(place, target, watch=Stopping(4))
    kept = captions(target)
    assert len(kept) == 4
    before = files(target)
    report = run(place, target)
    assert (report.added, report.kept) == (3, 4)
    assert captions(target) == ALL
    assert {name: files(target)[name] for name in before if name != "dataset.json"} == {
        name: stamp for name, stamp in before.items() if name != "dataset.json"
    }


def _flip(file):
    content = bytearray(file.read_bytes())
    content[2_000] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "gone": (os.unlink, "missing"),
    "cut off": (lambda file: os.truncate(file, 5_000), "5000 bytes"),
    "a byte flipped": (_flip, "its content"),
}


@pytest.mark.parametrize(("damage", "word"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_shard_is_named_and_made_again_alone(place, target, damage, word):
    run(place, target)
    before = files(target)
    damage(target / "shard-000001.tar")
    report = run(place, target)
    assert (report.added, report.kept) == (3, 4)
    assert "shard-000001.tar" in report.text()
    assert word in report.text()
    assert captions(target) == ALL
    assert all(files(target)[f"shard-00000{n}.tar"] == before[f"shard-00000{n}.tar"] for n in (0, 2))


def test_a_copied_set_is_read_once_and_known_from_then_on(place, target, tmp_path):
    run(place, target)
    shutil.copytree(target, tmp_path / "copy", copy_function=shutil.copyfile)
    os.unlink(tmp_path / "copy" / "shard-000000.index.npy")
    report = run(place, tmp_path / "copy")
    assert (report.added, report.kept) == (0, 7)
    before = files(tmp_path / "copy")
    run(place, tmp_path / "copy")
    assert files(tmp_path / "copy") == before
    assert "shard-000000.index.npy" in before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which file a descriptor is")
def test_a_power_cut_at_any_step_leaves_a_whole_set(place, tmp_path, monkeypatch):
    root = tmp_path / "disk"
    root.mkdir()
    seen = set()

    def check(left):
        if (left / "set" / "dataset.json").exists():
            seen.add(len(captions(left / "set")))

    disk = Disk(root, monkeypatch, check)
    run(place, root / "set")
    os.unlink(place / "a.png")
    save(place, "c.png", caption="changed")
    run(place, root / "set")
    assert captions(root / "set") == captions(disk.copy / "set")
    assert seen >= {3, 6, 7}
    assert disk.cuts > 20


def test_what_a_crash_left_is_cleared_away(place, target):
    run(place, target)
    (target / "shard.01234567.part").write_bytes(b"half of a shard")
    shutil.copy(target / "shard-000000.tar", target / "shard-000009.tar")
    run(place, target)
    assert captions(target) == ALL
    assert not [f for f in files(target) if f.endswith(".part") or "000009" in f]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_said_and_what_was_whole_stays(place, target, monkeypatch):
    shutil.move(place / "deeper", place.with_name("rest"))
    run(place, target)
    shutil.move(place.with_name("rest"), place / "deeper")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(writer, "MOST_EXAMPLES", 100)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, limits[1]))
        with pytest.raises(SCEditError, match=r"could not be written .*make room.*nothing half written"):
            run(place, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert captions(target) == ALL[::2]
    assert not list(target.glob("*.part"))


def test_what_cannot_be_read_is_left_out_and_named(place, target):
    (place / "broken.png").write_bytes(b"no picture")
    (place / "broken.txt").write_text("x")
    save(place, "deep.jpg", caption="x")
    (place / "deep.txt").write_bytes(b"\xff\xfe\xff")
    (place / "notes.doc").write_text("x")
    save(place, "small.png", ramp(20, 16), "small")
    text = run(place, target).text()
    assert "left out (3): 'notes.doc' (no picture), 'broken.png' cannot be read" in text
    assert "'deep.txt' is not UTF-8" in text
    assert "enlarged by more than a tenth (1): small.png" in text
    assert len(captions(target)) == 8


def test_a_latent_that_is_no_number_leaves_its_picture_out(place, target):
    def overflowing(batch):
        return means(batch) * np.where(np.arange(len(batch)) == 0, 1e6, 1)[:, None, None, None]

    report = run(place, target, device=replace(DEVICE, encode=overflowing))
    assert (report.left_out.count, report.examples) == (3, 4)  # the first of each batch
    assert "'a.png' (its latent holds NaN or more than float16 can)" in report.text()


def test_ready_hints_are_found_by_folder_and_name_and_must_have_their_pictures_shape(place, target):
    for name, size in {"a.png": (72, 64), "deeper/b.jpg": (64, 32), "c.png": (64, 32)}.items():
        save(place / "hints", name, ramp(*size), caption=None)
    report = run(place, target, replace(SETTINGS, hints=("from folder", "canny")))
    assert captions(target) == ["<t> caption a", "<t> caption b"]
    assert "the hint of 'c.png' is 64 x 32, its picture 72 x 64" in report.text()
    assert "'e.png' has no hint" in report.text()


def test_captions_may_be_missing_if_something_stands_in(place, target):
    (place / "a.txt").unlink()
    report = run(place, target, replace(SETTINGS, caption_when_missing="a thing"))
    assert "<t> a thing" in captions(target)
    assert "without caption of their own (1): a.png" in report.text()


def test_batches_have_one_size_and_few_pictures_wait():
    class One:
        def __init__(self, size):
            self.crop = Crop(size, size)

    draw, held, taken = np.random.default_rng(0), [], 0

    def stream():
        for number in range(300):
            held.append(number - taken)
            yield One((64 * int(draw.integers(1, 30)), 64))

    for batch in batches(stream(), 4):
        taken += len(batch)
        assert len({one.crop.size for one in batch}) == 1
        assert len(batch) <= 4
    assert taken == 300
    assert max(held) <= 17


def test_reading_a_prepared_set_gives_plain_tensors(place, target):
    run(place, target)
    example = open_dataset(target).read(2)
    assert example.latent.dtype == torch.float16
    assert all(hint.dtype == torch.uint8 for hint in example.hints)
