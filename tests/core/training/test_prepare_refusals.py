"""What is not prepared, or not gone on with: each in one sentence, and nothing is touched."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from prepare_tools import DEVICE, SETTINGS, files, means, pictures, run

from scedit_core import SCEditError
from scedit_core.training.dataset.shards.drawing import PrepareSettings


def _with(field, value):
    return lambda settings, device: (replace(settings, **{field: value}), device)


def _device(**changes):
    return lambda settings, device: (settings, replace(device, **changes))


GOING_ON = {
    "resolution": (_with("resolution", 128), ["resolution 64, now it is 128", "another name"]),
    "buckets": (_with("buckets", False), ["buckets True, now it is False"]),
    "hints": (_with("hints", ("canny",)), ["hints canny, masked image, now it is canny"]),
    "VAE": (_device(vae="another"), ["VAE means, now it is another"]),
    "channels": (_device(latent_channels=16), ["latent channels 4, now it is 16"]),
    "no net": (_with("hints", ("pose",)), ["no net draws the hint 'pose' here"]),
}


@pytest.mark.parametrize(("change", "words"), GOING_ON.values(), ids=GOING_ON.keys())
def test_going_on_in_another_way_is_refused_and_nothing_is_touched(tmp_path, target, change, words):
    place = pictures(tmp_path / "pictures", "ab")
    run(place, target)
    before = files(target)
    settings, device = change(SETTINGS, DEVICE)
    with pytest.raises(SCEditError) as caught:
        run(place, target, settings, device)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert files(target) == before


def _no_captions(place):
    for file in place.rglob("*.txt"):
        file.unlink()


BAD = {
    "no pictures": (shutil.rmtree, {}, ["no folder and no .csv or .jsonl list"]),
    "an empty folder": (lambda p: [f.unlink() for f in p.rglob("*.*")], {}, ["there are no pictures"]),
    "no captions": (_no_captions, {}, ["7 of 7 pictures have no caption", "and 2 more", "fill in"]),
    "no hints": (
        lambda p: None, {"hints": ("from folder",)}, ["none of 7 pictures has a ready hint", "'hints'"],
    ),
    "hints that lead out": (
        lambda p: None, {"hints": ("from folder",), "hint_folder": "../x"}, ["not the name of a folder"],
    ),
    "an unknown hint": (lambda p: None, {"hints": ("magic",)}, ["a hint is one of canny", "'magic'"]),
    "a hint twice": (lambda p: None, {"hints": ("canny", "canny")}, ["named once", "canny, canny"]),
    "no drawings": (lambda p: None, {"hint_variants": 0}, ["from 1 to 64, got 0"]),
    "an odd resolution": (lambda p: None, {"resolution": 500}, ["multiple of 64", "500"]),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "changes", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_prepared_is_refused_in_one_sentence(place, target, damage, changes, words):
    damage(place)
    with pytest.raises(SCEditError) as caught:
        run(place, target, PrepareSettings(**{"resolution": 64, **changes}))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not target.exists()


def test_another_vae_makes_a_sentence_by_the_shape_of_its_latents(place, target):
    with pytest.raises(SCEditError, match=r"shape \(3, 4, 4, 4\).*expected 4 channels of 8 x 8"):
        run(place, target, device=replace(DEVICE, encode=lambda batch: means(batch)[..., ::2, ::2]))
