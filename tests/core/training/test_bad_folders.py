"""Training folders that are refused, each in one sentence that says what to do."""

import os

import numpy as np
import pytest
from folder_tools import SQUARE, ramp, save
from PIL import Image

from scedit_core import SCEditError
from scedit_core.training.dataset.folder import FolderSettings, below, caption_texts, plan_crops, scan


def _truncated(folder):
    path = save(folder, "half.jpg", ramp(600, 400))
    path.write_bytes(path.read_bytes()[:2000])


def _text_as_picture(folder):
    save(folder, "a.png")
    (folder / "a.png").write_text("<html>")


def _float_picture(folder):
    save(folder, "deep.tif", Image.fromarray(np.ones((8, 8), np.float32)))


def _with_hints(folder, *hints, size=(96, 64)):
    for stem in "ab":
        save(folder, f"{stem}.png")
    for hint in hints:
        save(folder / "hints", hint, ramp(*size), caption=None)


BAD = {
    "no such folder": (lambda f: f.rmdir(), {}, ["cannot be read", "choose another"]),
    "empty folder": (lambda f: None, {}, ["no pictures in 'set'", ".png", "put"]),
    "pictures one level down": (
        lambda f: save(f, "10_cats/a.png"),
        {},
        ["no pictures", "in its folders: 10_cats"],
    ),
    "no captions": (
        lambda f: [save(f, f"{i}.png", caption=None) for i in range(7)],
        {},
        [
            "7 of 7 pictures have no caption",
            "0.png, 1.png, 2.png, 3.png, 4.png and 2 more",
            "caption_when_missing",
        ],
    ),
    "caption that is not text": (
        lambda f: save(f, "a.png").with_suffix(".txt").write_bytes("grün".encode("utf-16")),
        {},
        ["'a.txt' is not UTF-8", "save it again as UTF-8"],
    ),
    "truncated picture": (_truncated, {}, ["1 files cannot be read", "'half.jpg'", "truncated", "replace"]),
    "text named as picture": (_text_as_picture, {}, ["'a.png'", "cannot identify", "replace or remove"]),
    "floating point picture": (_float_picture, {}, ["'deep.tif'", "floating point"]),
    "no hint folder": (_with_hints, {"hint": "from folder"}, ["no folder 'hints'", "beside the pictures"]),
    "fewer hints than pictures": (
        lambda f: _with_hints(f, "a.png"),
        {"hint": "from folder"},
        ["1 of 2 pictures have no hint in 'hints' (b.png)", "same name"],
    ),
    "two hints of a picture": (
        lambda f: _with_hints(f, "a.png", "a.jpg", "b.png"),
        {"hint": "from folder"},
        ["'a.jpg' and 'a.png' are hints of one picture"],
    ),
    "hint of another shape": (
        lambda f: _with_hints(f, "a.png", "b.png", size=(64, 64)),
        {"hint": "from folder"},
        ["hint 'a.png' is 64 x 64", "96 x 64", "whole picture"],
    ),
    "unknown hint": (lambda f: save(f, "a.png"), {"hint": "magic"}, ["none, canny, color", "magic"]),
    "no variants": (lambda f: save(f, "a.png"), {"hint_variants": 0}, ["hint_variants", "at least 1"]),
    "odd resolution": (lambda f: save(f, "a.png"), {"resolution": 500}, ["multiple of 64", "500"]),
}


def read_all(folder, **inputs):
    """What a node does before it encodes."""
    chosen = FolderSettings(**inputs)
    found = scan(folder, chosen.hint_folder if chosen.hint == "from folder" else None)
    return caption_texts(found, chosen), plan_crops(found, chosen)


@pytest.mark.parametrize(("make", "inputs", "words"), BAD.values(), ids=BAD.keys())
def test_bad_folders_are_refused_in_one_sentence(tmp_path, make, inputs, words):
    folder = tmp_path / "set"
    folder.mkdir()
    make(folder)
    with pytest.raises(SCEditError) as caught:
        read_all(folder, **inputs)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_broken_files_are_named_at_once(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path, name)
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"")
    ticks = []
    with pytest.raises(SCEditError, match=r"2 files .*'a.png'.*'c.png'"):
        plan_crops(scan(tmp_path), SQUARE, lambda: ticks.append(1))
    assert len(ticks) == 3


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/../..", "..\\b", "/etc", "//host/share", "C:\\x", "C:x", "\\\\host\\share", "a\0"],
)
def test_names_that_lead_out_of_the_root_are_refused(tmp_path, name):
    with pytest.raises(SCEditError, match="not the name of a folder below"):
        below(tmp_path, name)


def test_names_work_with_either_slash_and_links_inside(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert below(tmp_path, "a\\b") == below(tmp_path, "./a/b/") == tmp_path / "a" / "b"
    os.symlink(tmp_path / "a", tmp_path / "link")
    assert below(tmp_path, "link/b").is_dir()


def test_links_that_leave_the_root_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path, root / "out")
    os.symlink(root / "loop", root / "loop")
    with pytest.raises(SCEditError, match=r"link that leads out of 'root'.*scedit_datasets"):
        below(root, "out")
    assert not below(root, "loop").is_dir()
