"""Folders of training pictures: what is matched, how pictures are cut, and which hints are drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folder_tools import SQUARE, ramp, save
from PIL import Image, ImageDraw

from scedit_core.annotators.drawn.random_mask import random_mask
from scedit_core.training.dataset.buckets import Crop, Sizing, bucket_size
from scedit_core.training.dataset.captions import with_trigger
from scedit_core.training.dataset.folder import (
    ANNOTATORS,
    FolderSettings,
    caption_texts,
    describe_folder,
    draw_hint,
    load_hints,
    plan_crops,
    scan,
)
from scedit_core.training.dataset.pictures import load_picture, size_or_reason


def test_files_are_matched_by_stem_in_natural_order(tmp_path):
    for name in ("img10.PNG", "img2.jpg", "Img1.webp", "img.bmp", "photo.png.crop.png"):
        save(tmp_path, name, caption=name)
        save(tmp_path / "hints", f"{Path(name).stem}.png", caption=None)
    found = scan(tmp_path, "hints")
    order = ["img.bmp", "Img1.webp", "img2.jpg", "img10.PNG", "photo.png.crop.png"]
    assert [t.picture.name for t in found.triplets] == order
    assert caption_texts(found, SQUARE) == order
    assert [t.hint.stem for t in found.triplets] == [Path(name).stem for name in order]
    assert found.lone_captions == found.lone_hints == found.not_read == ()


def test_what_is_left_over_is_reported_both_ways(tmp_path):
    save(tmp_path, "a.png", ramp(640, 64))
    save(tmp_path, "b.png", caption=None)
    save(tmp_path, "c.png", caption=" ")
    save(tmp_path, "._a.png", caption=None)
    for stem in "abcd":
        save(tmp_path / "hints", f"{stem}.png", ramp(640, 64) if stem == "a" else None, caption=None)
    (tmp_path / "z.txt").write_text("alone")
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "raw").mkdir()
    chosen = FolderSettings("from folder", resolution=128, caption_when_missing="a thing")
    found = scan(tmp_path, chosen.hint_folder)
    report = describe_folder(found, plan_crops(found, chosen), caption_texts(found, chosen), chosen)
    assert report.splitlines() == [
        "3 pictures",
        "sizes: 128 x 128: 2, 256 x 64: 1",
        "hints: from folder",
        "without caption file (1): b.png",
        "empty captions (1): c.png",
        "captions without picture (1): z.txt",
        "hints without picture (1): d.png",
        "not read (2): notes.md, raw/",
        "enlarged by more than a tenth (2): b.png, c.png",
        "more than a quarter cut off (3): a.png, b.png, c.png",
    ]


@pytest.mark.parametrize(
    ("caption", "trigger", "whole"),
    [
        ("a cat", "", "a cat"),
        ("a cat", "<sce>", "<sce> a cat"),
        ("<sce> a cat", " <sce> ", "<sce> a cat"),
        ("<sce>dog", "<sce>", "<sce> <sce>dog"),
        ("", "<sce>", "<sce>"),
        ("a\n cat ", "my style", "my style a cat"),
    ],
)
def test_the_trigger_stands_in_front_once(caption, trigger, whole):
    assert with_trigger(caption, trigger) == whole


def test_captions_may_begin_with_a_byte_order_mark(tmp_path):
    save(tmp_path, "a.png")
    (tmp_path / "a.txt").write_bytes("\ufeffune forêt\r\nd'été".encode())
    assert caption_texts(scan(tmp_path), SQUARE) == ["une forêt d'été"]


@pytest.mark.parametrize(
    ("size", "resolution", "bucket"),
    [
        ((512, 512), 512, (512, 512)),
        ((3000, 2000), 512, (640, 384)),
        ((2000, 3000), 512, (384, 640)),
        ((1920, 1080), 1024, (1344, 768)),
        ((10, 9000), 512, (256, 1024)),
        ((700, 700), 64, (64, 64)),
    ],
)
def test_buckets_keep_the_aspect(size, resolution, bucket):
    assert bucket_size(*size, resolution) == bucket


@pytest.mark.parametrize("resolution", [64, 128, 512, 768, 1024])
def test_buckets_never_pass_the_area_and_turn_with_the_picture(resolution):
    for width, height in np.random.default_rng(0).integers(1, 9000, (40, 2)).tolist():
        wide, high = bucket_size(width, height, resolution)
        assert wide % 64 == high % 64 == 0
        assert 0 < wide * high <= resolution**2
        assert bucket_size(height, width, resolution) == (high, wide)
        left, top, right, bottom = Crop((width, height), (wide, high)).box
        assert 0 <= left < right <= width + 1e-6
        assert 0 <= top < bottom <= height + 1e-6
        assert (right - left) / (bottom - top) == pytest.approx(wide / high)


@pytest.mark.parametrize(
    ("size", "buckets", "wanted"),
    [
        ((128, 128), True, (128, 128)),
        ((150, 140), True, (128, 128)),
        ((400, 100), True, (256, 128)),
        ((400, 100), False, (64, 64)),
        ((20, 30), True, (64, 64)),
        ((900, 900), True, (512, 512)),
        ((3000, 2000), True, (640, 384)),
    ],
)
def test_small_pictures_may_stay_small(size, buckets, wanted):
    assert Sizing(512, buckets, enlarge=False).size(*size) == wanted
    assert Sizing(512, buckets).size(*size) == bucket_size(*(size if buckets else (1, 1)), 512)


def test_without_buckets_all_are_squares(tmp_path):
    save(tmp_path, "a.png", ramp(96, 64))
    save(tmp_path, "b.png", ramp(64, 300))
    crops = plan_crops(scan(tmp_path), FolderSettings(resolution=64, buckets=False))
    assert [crop.size for crop in crops] == [(64, 64), (64, 64)]


def test_crops_give_sdxls_coordinates_after_scaling():
    # 1000 x 500 is scaled to 1024 x 512, of which 256 pixels are cut off at each side
    assert Crop((1000, 500), (512, 512)).offset == (256, 0)
    assert Crop((512, 768), (512, 512)).offset == (0, 128)
    assert Crop((512, 512), (512, 512)).offset == (0, 0)


def test_the_centre_is_cut_without_distortion(tmp_path):
    path = save(tmp_path, "a.png", ramp(192, 64))
    picture = load_picture(path, Crop((192, 64), (64, 64)))
    expected = np.asarray(ramp(192, 64))[:, 64:128]
    assert np.array_equal(picture, expected)


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(tmp_path, "a.png", exif=exif)
    assert size_or_reason(turned) == (64, 96)
    upright = ramp().transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(load_picture(turned, Crop((64, 96), (64, 96))), np.asarray(upright))


GREY = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (64, 1))
KINDS = {
    "8 bits of grey": Image.fromarray(GREY),
    "16 bits of grey": Image.fromarray(GREY.astype(np.uint16) * 257),
    "grey with alpha": Image.fromarray(np.stack([GREY, GREY], axis=-1)),
    "palette": Image.fromarray(GREY).convert("P"),
    "alpha": Image.fromarray(np.stack([GREY, GREY, GREY, 255 - GREY], axis=-1)),
}


# bmp and webp cannot hold all kinds
FILES = [(kind, suffix) for kind in KINDS for suffix in ("png", "TIF")]
FILES += [("8 bits of grey", "bmp"), ("palette", "bmp"), ("8 bits of grey", "webp"), ("alpha", "webp")]


@pytest.mark.parametrize(("kind", "suffix"), FILES)
def test_all_kinds_of_pixels_become_rgb(tmp_path, kind, suffix):
    how = {"lossless": True, "exact": True} if suffix == "webp" else {}
    path = save(tmp_path, f"a.{suffix}", KINDS[kind], **how)
    picture = load_picture(path, Crop((64, 64), (64, 64)))
    assert np.array_equal(picture, np.repeat(GREY[..., None], 3, axis=-1))


def test_ready_hints_get_the_cut_of_their_picture_at_any_size(tmp_path):
    save(tmp_path, "a.png", ramp(384, 128))
    save(tmp_path / "hints", "a.png", ramp(192, 64), caption=None)
    save(tmp_path, "b.png", ramp(384, 128))
    save(tmp_path / "hints", "b.png", ramp(384, 128), caption=None)
    chosen = FolderSettings("from folder", resolution=64, buckets=False)
    found = scan(tmp_path, "hints")
    for triplet, crop in zip(found.triplets, plan_crops(found, chosen), strict=True):
        picture = load_picture(triplet.picture, crop)
        (hint,) = load_hints(triplet, crop, picture, chosen)
        assert hint.shape == picture.shape
        assert np.abs(hint.astype(int) - picture).max() <= 2  # two ways of making a ramp smaller


def photo() -> np.ndarray:
    """A picture with edges of all strengths."""
    return np.asarray(Image.effect_mandelbrot((96, 96), (-2, -1, 1, 1), 80).convert("RGB"))


@pytest.mark.parametrize("kind", ANNOTATORS)
def test_hints_are_drawn_with_settings_that_vary_and_can_be_repeated(tmp_path, kind):
    pytest.importorskip("cv2")
    save(tmp_path, "a.png", Image.fromarray(photo()).resize((256, 256)))
    save(tmp_path, "b.png", Image.fromarray(photo()).resize((256, 256)))
    chosen = FolderSettings(kind, resolution=256, hint_variants=6, seed=3)
    found = scan(tmp_path)
    crop = plan_crops(found, chosen)[0]
    picture = load_picture(found.triplets[0].picture, crop)
    a, again = (load_hints(found.triplets[0], crop, picture, chosen) for _ in range(2))
    assert a.shape == (6, 256, 256, 3)
    assert a.dtype == np.uint8
    assert np.array_equal(a, again)
    assert len({hint.tobytes() for hint in a}) > 1
    assert not np.array_equal(a, load_hints(found.triplets[1], crop, picture, chosen))
    assert not np.array_equal(a, load_hints(found.triplets[0], crop, picture, replace(chosen, seed=4)))
    fewer = load_hints(found.triplets[0], crop, picture, replace(chosen, hint_variants=2))
    assert np.array_equal(a[:2], fewer)  # further drawings leave the first ones as they were


def test_thresholds_and_ratios_are_the_papers(monkeypatch):
    used = {"canny": [], "color": [], "sketch": []}
    module = "scedit_core.training.dataset.folder"
    monkeypatch.setattr(f"{module}.canny", lambda picture, *limits: used["canny"].append(limits) or picture)
    monkeypatch.setattr(f"{module}.color", lambda picture, ratio: used["color"].append(ratio) or picture)
    monkeypatch.setattr(f"{module}.sketch", lambda picture, limit: used["sketch"].append(limit) or picture)
    generator = np.random.default_rng(0)
    for kind in used:
        for _ in range(2000):
            draw_hint(kind, np.zeros((1, 1, 3), np.uint8), generator)
    low, high = zip(*used["canny"], strict=True)
    assert (min(low), max(low), min(high), max(high)) == (50, 100, 200, 350)
    assert (min(used["color"]), max(used["color"])) == (48, 96)
    assert 0.15 <= min(used["sketch"]) < 0.16 < 0.49 < max(used["sketch"]) < 0.5


def test_masks_are_lamas_cut_out_of_the_picture_and_other_ones_each_time():
    pytest.importorskip("cv2")
    picture = np.random.default_rng(1).integers(1, 256, (96, 64, 3), dtype=np.uint8)
    hints = [draw_hint("masked image", picture, generator := np.random.default_rng(0))]
    hints += [draw_hint("masked image", picture, generator) for _ in range(50)]
    masks = [(hint == 0).all(-1) for hint in hints]
    assert np.array_equal(masks[0], random_mask(96, 64, np.random.default_rng(0)) > 0)
    for hint, mask in zip(hints, masks, strict=True):
        assert np.array_equal(hint[~mask], picture[~mask])
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert 0.2 < np.mean(masks) < 0.6


def test_a_sketch_of_a_line_drawing_is_its_lines():
    pytest.importorskip("cv2")
    page = Image.new("RGB", (256, 256), "#f4efe6")
    ImageDraw.Draw(page).ellipse((60, 60, 200, 200), outline="#333333", width=5)
    distance = np.hypot(*(np.indices((256, 256)) - 130))
    for seed in range(8):
        hint = draw_hint("sketch", np.asarray(page), np.random.default_rng(seed))
        assert set(np.unique(hint)) == {0, 255}
        assert np.abs(distance[hint[..., 0] > 0] - 67.5).max() <= 3
