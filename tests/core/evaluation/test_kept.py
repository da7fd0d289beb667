"""Pictures in folders: whole or not at all, and in place of nothing but earlier ones."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from PIL import Image

from scedit_core import SCEditError
from scedit_core.evaluation import kept
from scedit_core.evaluation.kept import check_replaceable, keep_pictures


def pictures(count, first=0):
    """Greys, each one lighter than the one before."""
    return [np.full((4, 6, 3), first + number, np.uint8) for number in range(count)]


def painted(seeds=2, count=2):
    """Pictures with a tuner and without it; those with another's hint are not kept."""
    rows = [pictures(count, 10 * seed) for seed in range(seeds)]
    return {"on": rows, "off": rows, "shuffled": rows}


def found(target):
    """The value of each file below a folder."""
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    return {name: Image.open(target / name).getpixel((5, 3))[0] for name in names}


def test_pictures_are_kept_by_way_and_numbered_through_their_seeds(tmp_path):
    target = tmp_path / "results" / "evaluation"
    keep_pictures(target, painted(), pictures(2, 90))
    each = {"000000": 0, "000001": 1, "000002": 10, "000003": 11}
    ways = {f"{way}/{name}.png": value for way in ("with", "without") for name, value in each.items()}
    assert found(target) == {**ways, "real/000000.png": 90, "real/000001.png": 91}


def test_earlier_ones_are_replaced_with_what_an_ended_process_left(tmp_path):
    target = tmp_path / "evaluation"
    keep_pictures(target, painted(3), pictures(2))
    (tmp_path / "evaluation.0123abcd.part" / "with").mkdir(parents=True)
    (tmp_path / "evaluation.0123abcd.old").mkdir()
    (tmp_path / "evaluation.0123abcd.old" / "mine").touch()
    keep_pictures(target, painted(1), pictures(2))
    assert len(found(target)) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation", "evaluation.0123abcd.old"}


FOREIGN = {
    "a file": lambda target: target.write_bytes(b""),
    "another file": lambda target: (target / "with" / "a.png").write_bytes(b""),
    "another folder": lambda target: (target / "other").mkdir(),
    "a folder as a picture": lambda target: (target / "with" / "000000.png").mkdir(),
    "a link to a picture": lambda target: (target / "with" / "000000.png").symlink_to(target.parent / "x"),
    "a link to a folder": lambda target: (target / "real").symlink_to(target.parent),
}


@pytest.mark.parametrize("place", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_no_evaluation_wrote_is_left_alone(tmp_path, place):
    target = tmp_path / "evaluation"
    if place is not FOREIGN["a file"]:
        (target / "with").mkdir(parents=True)
    place(target)
    before = sorted(tmp_path.rglob("*"))
    for act in (check_replaceable, lambda at: keep_pictures(at, painted(), pictures(2))):
        with pytest.raises(SCEditError, match="there is something else of that name, or in it; move it away"):
            act(target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("most", [0, 1, 7])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, is_there, most):
    target = tmp_path / "results" / "evaluation"
    if is_there:
        keep_pictures(target, painted(1), pictures(2))
    before = sorted(tmp_path.rglob("*"))
    synced = []

    def full(file):
        synced.append(file)
        if len(synced) > most:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "sync_file", full)
    with pytest.raises(SCEditError, match="could not be written"):
        keep_pictures(target, painted(), pictures(2))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_exchanged_leaves_the_earlier_one(tmp_path, monkeypatch):
    target = tmp_path / "evaluation"
    keep_pictures(target, painted(1), pictures(2))
    before, replace = sorted(tmp_path.rglob("*")), kept.os.replace

    def locked(source, to):
        if to == target and source.name.endswith(".part"):
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, to)

    monkeypatch.setattr(kept.os, "replace", locked)
    with pytest.raises(SCEditError, match="close the program that has it open"):
        keep_pictures(target, painted(), pictures(2))
    assert sorted(tmp_path.rglob("*")) == before
