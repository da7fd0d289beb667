"""Data sets on disk: what is written is what is read, by us and by others, and what is damaged is named."""

from __future__ import annotations

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from dataset_tools import HEAD, SQUARE, WIDE, example, examples, write
from PIL import Image

from scedit_core import SCEditError
from scedit_core.training.dataset.shards import DatasetWriter, open_dataset, to_png, write_dataset, writer
from scedit_core.training.dataset.shards.manifest import Manifest, read_manifest


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Three examples to a shard, where real ones have thousands."""
    monkeypatch.setattr(writer, "MOST_EXAMPLES", 3)


def test_examples_come_back_as_they_were_written(tmp_path):
    dataset = open_dataset(write(tmp_path / "set"))
    assert (len(dataset), dataset.hints, dataset.resolution) == (7, ("canny", "color"), 64)
    assert (dataset.latent_channels, dataset.vae) == (4, "a VAE")
    assert dataset.shapes.tolist() == [[8, 8], [8, 8], [8, 16]] * 2 + [[8, 8]]
    for number, wanted in enumerate(examples(7)):
        found = dataset.read(number)
        assert torch.equal(found.latent, torch.from_numpy(wanted.latent))
        assert (found.caption, found.sizes) == (wanted.caption, wanted.sizes)
        for hint, drawings in zip(found.hints, wanted.hints, strict=True):
            pixels = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in drawings]
            assert hint.dtype == torch.uint8
            assert np.array_equal(hint.movedim(1, -1).numpy(), np.stack(pixels))


def test_several_drawings_of_a_hint_are_read_in_their_order(tmp_path):
    write_dataset(tmp_path, [example(0, WIDE, drawings=12)], HEAD)
    hints = open_dataset(tmp_path).read(0).hints
    assert [tuple(hint.shape) for hint in hints] == [(12, 3, 64, 128)] * 2
    alone = Image.open(io.BytesIO(example(0, WIDE, drawings=12).hints[1][11]))
    assert np.array_equal(hints[1][11].movedim(0, -1).numpy(), np.asarray(alone))


def test_a_set_without_hints_and_one_without_examples_are_sets(tmp_path):
    bare = Manifest(HEAD.__class__(64, False, (), "a VAE", 4), ())
    with DatasetWriter(tmp_path / "bare", bare):
        pass
    assert len(open_dataset(tmp_path / "bare")) == 0


def grouped(archive):
    """Samples of a tar as the library webdataset groups them: by what stands before a name's first dot."""
    samples = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            key, _, ending = member.name.partition(".")
            samples.setdefault(key, {})[ending] = opened.extractfile(member).read()
    return samples


def test_others_read_the_shards(tmp_path):
    write(tmp_path, 2)
    samples = list(grouped(tmp_path / "shard-000000.tar").values())
    assert [list(sample) for sample in samples] == [
        ["json", "latent.npy", "hint0.png", "hint1.png", "txt"]
    ] * 2
    wanted = example(1)
    assert samples[1]["txt"] == b"cat 1"
    assert np.array_equal(np.load(io.BytesIO(samples[1]["latent.npy"])), wanted.latent)
    assert Image.open(io.BytesIO(samples[1]["hint0.png"])).mode == "L"
    assert Image.open(io.BytesIO(samples[1]["hint1.png"])).mode == "RGB"
    about = json.loads(samples[1]["json"])
    assert about == {"name": "cats/img1.png", "stamp": "0" * 16, **wanted.sizes}


def test_shards_end_at_their_number_of_examples_and_at_their_size(tmp_path, monkeypatch):
    write(tmp_path / "many")
    assert [shard.examples for shard in read_manifest(tmp_path / "many").shards] == [3, 3, 1]
    monkeypatch.setattr(writer, "MOST_BYTES", 10_000)
    write(tmp_path / "large")
    assert all(shard.bytes < 60_000 for shard in read_manifest(tmp_path / "large").shards)
    assert [s.number for s in read_manifest(tmp_path / "large").shards] == list(range(7))


def test_the_same_examples_make_the_same_bytes_and_another_fingerprint_if_one_changes(tmp_path):
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert {f.name: f.read_bytes() for f in first.glob("shard*")} == {
        f.name: f.read_bytes() for f in second.glob("shard*")
    }
    assert open_dataset(first).fingerprint() == open_dataset(second).fingerprint()
    assert open_dataset(write(tmp_path / "c", 6)).fingerprint() != open_dataset(first).fingerprint()


def test_many_threads_read_at_once(tmp_path):
    dataset = open_dataset(write(tmp_path, 12))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(dataset.read, [n % 12 for n in range(200)]))
    assert [one.caption for one in found] == [f"cat {n % 12}" for n in range(200)]


def test_an_index_that_is_gone_or_damaged_is_made_from_its_shard(tmp_path):
    whole = open_dataset(write(tmp_path))
    (tmp_path / "shard-000000.index.npy").unlink()
    (tmp_path / "shard-000001.index.npy").write_bytes(b"\x93NUMPY\x01\0" + b"x" * 300)
    again = open_dataset(tmp_path)
    assert np.array_equal(again._entries, whole._entries)
    assert again.read(5).caption == "cat 5"


def _flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def _manifest(folder, **changes):
    told = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**told, **changes}))


def _shard_row(folder, **changes):
    rows = json.loads((folder / "dataset.json").read_text())["shards"]
    _manifest(folder, shards=[{**rows[0], **changes}, *rows[1:]])


def _without_index(folder, place):
    for index in folder.glob("*.index.npy"):
        index.unlink()
    _flip(folder / "shard-000000.tar", place)


BAD = {
    "no set": (lambda f: os.unlink(f / "dataset.json"), ["holds no data set", "Prepare Dataset"]),
    "no JSON": (lambda f: (f / "dataset.json").write_text("{"), ["'dataset.json'", "cannot be read"]),
    "another JSON": (lambda f: (f / "dataset.json").write_text("[]"), ["version None", "version 1"]),
    "deep JSON": (lambda f: (f / "dataset.json").write_text("[" * 100_000), ["cannot be read"]),
    "a newer version": (lambda f: _manifest(f, version=2), ["version 2", "update the pack"]),
    "no resolution": (lambda f: _manifest(f, resolution=None), ["damaged (at resolution)"]),
    "an odd resolution": (lambda f: _manifest(f, resolution=500), ["multiple of 64", "500"]),
    "hints that are no names": (lambda f: _manifest(f, hints=[1]), ["damaged (at hints)"]),
    "too many hints": (lambda f: _manifest(f, hints=["a"] * 9), ["at most 8", "9"]),
    "a name that leads out": (lambda f: _shard_row(f, name="../shard-000000.tar"), ["damaged (at shard"]),
    "a size that is none": (lambda f: _shard_row(f, bytes=-1), ["damaged (at shard"]),
    "a missing shard": (lambda f: os.unlink(f / "shard-000001.tar"), ["'shard-000001.tar'", "is missing"]),
    "a shard cut off": (lambda f: os.truncate(f / "shard-000001.tar", 9_000), ["'shard-000001.tar'", "9000"]),
    "a byte flipped": (lambda f: _flip(f / "shard-000000.tar", 3_000), ["'shard-000000.tar'", "delete"]),
    "the same, without index": (lambda f: _without_index(f, 3_000), ["'shard-000000.tar'"]),
    "a header flipped, without index": (lambda f: _without_index(f, 4), ["'shard-000000.tar'", "damaged"]),
}


def read_all(folder):
    """Every example of a set."""
    dataset = open_dataset(folder)
    return [dataset.read(number) for number in range(len(dataset))]


@pytest.mark.parametrize(("damage", "words"), BAD.values(), ids=BAD.keys())
def test_a_damaged_set_is_refused_in_one_sentence(tmp_path, damage, words):
    damage(write(tmp_path / "set"))
    with pytest.raises(SCEditError) as caught:
        read_all(tmp_path / "set")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_no_byte_of_a_shard_can_be_changed_without_a_sentence(tmp_path):
    dataset = open_dataset(write(tmp_path, 1))
    shard = tmp_path / "shard-000000.tar"
    whole = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, int(dataset._entries[0]["size"]), 40):
        _flip(shard, place)
        with pytest.raises(SCEditError, match="shard-000000"):
            dataset.read(0)
        shard.write_bytes(whole)


def _latent(value=1.0, shape=(4, 8, 8)):
    return np.full(shape, value, np.float32)


NOT_WRITTEN = {
    "an overflow": ({"latent": _latent(1e6)}, "float16 cannot"),
    "NaN": ({"latent": _latent(np.nan)}, "float16 cannot"),
    "a batch": ({"latent": _latent(shape=(4, 1, 8, 8))}, "expected (channels, height, width)"),
    "other channels": ({"latent": _latent(shape=(16, 8, 8))}, "16 channels"),
    "a hint too few": ({"hints": ((to_png(np.zeros((64, 64, 3), np.uint8)),),)}, "1 hints"),
    "a small hint": ({"hints": ((to_png(np.zeros((8, 8, 3), np.uint8)),),) * 2}, "cropped picture"),
    "no drawing": ({"hints": ((), ())}, "cropped picture"),
}


@pytest.mark.parametrize(("changes", "words"), NOT_WRITTEN.values(), ids=NOT_WRITTEN.keys())
def test_an_example_that_could_not_be_read_is_not_written(tmp_path, changes, words):
    bad = example(1)
    values = {name: getattr(bad, name) for name in bad.__dataclass_fields__}
    with pytest.raises(SCEditError) as caught:
        write_dataset(tmp_path / "set", [example(0), bad.__class__(**{**values, **changes})], HEAD)
    assert words in str(caught.value)
    assert len(open_dataset(tmp_path / "set")) == 1  # what came before it is kept


def test_a_writer_that_is_left_keeps_what_was_added(tmp_path):
    def cancelled():
        yield from examples(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, cancelled(), HEAD)
    assert [open_dataset(tmp_path).read(n).caption for n in range(5)] == [f"cat {n}" for n in range(5)]
    assert list(tmp_path.glob("*.part")) == []


def test_sizes_of_pictures_are_those_of_the_names():
    assert example(0, SQUARE).sizes == {
        "width": 64, "height": 64, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64,
    }  # fmt: skip
