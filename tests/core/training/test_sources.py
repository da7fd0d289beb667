"""Where pictures come from: folders, tars and lists of others, none of which lead anywhere else."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from folder_tools import ramp, save
from prepare_tools import SETTINGS, captions, run

from scedit_core import SCEditError
from scedit_core.training.dataset.shards import open_dataset, tar_sources
from scedit_core.training.dataset.shards.places import open_sources
from scedit_core.training.dataset.shards.sources import LeftOut

PLAIN = replace(SETTINGS, hints=(), trigger="")


def png(width=72, height=64) -> bytes:
    """The content of a picture file."""
    buffer = io.BytesIO()
    ramp(width, height).save(buffer, "PNG")
    return buffer.getvalue()


def make_tar(file, members, kind=tarfile.GNU_FORMAT):
    """A tar of these names and contents."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=kind) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def found(place):
    """Names and captions of what a place holds, and what is left out."""
    left_out = LeftOut(most=99)
    return {one.name: one.text() for one in open_sources(place, "hints").walk(left_out)}, left_out.first


def test_a_folder_is_walked_in_natural_order_with_what_lies_below(tmp_path):
    for name in ("img10.png", "img2.png", "b/x.jpg", "a 2/y.webp", "a 10/z.png", "hints/img2.png"):
        save(tmp_path, name)
    save(tmp_path / ".hidden", "h.png")
    os.symlink(tmp_path / "b", tmp_path / "again")
    names, left_out = found(tmp_path)
    assert list(names) == ["img2.png", "img10.png", "a 2/y.webp", "a 10/z.png", "b/x.jpg"]
    assert left_out == []


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_of_others_are_read_without_unpacking_them(tmp_path, kind):
    deep = "a/" + "long" * 15 + "/" + "x" * 60  # more than the 100 characters of a plain header
    make_tar(
        tmp_path / "in" / "00001.tar",
        {
            "10.jpg": png(), "10.txt": b"ten", "10.json": b'{"caption": "not this"}',
            f"{deep}.png": png(), f"{deep}.json": b'{"TEXT": "from  json"}',
            "2.json": b'{"caption": 5}', "2.webp": png(), "2.cls": b"1",
        },
        kind,
    )  # fmt: skip
    make_tar(tmp_path / "in" / "00002.tar", {"0.hint.png": png(), "0.png": png(), "0.txt": b"zero"})
    names, left_out = found(tmp_path / "in")
    assert names == {
        "00001.tar/10": "ten", f"00001.tar/{deep}": "from json", "00001.tar/2": None, "00002.tar/0": "zero",
    }  # fmt: skip
    assert left_out == []
    ready = replace(PLAIN, hints=("from folder",), caption_when_missing="none")
    report = run(tmp_path / "in", tmp_path / "set", ready)
    assert (report.added, report.left_out.count) == (1, 3)
    example = open_dataset(tmp_path / "set").read(0)
    assert tuple(example.hints[0].shape) == (1, 3, 64, 64)


def test_a_tar_of_our_own_is_a_source_like_others(tmp_path):
    save(tmp_path / "in", "a.png", caption="a")
    make_tar(tmp_path / "tars" / "a.tar", {"k/a.png": png(96, 64), "k/a.txt": b"a"})
    run(tmp_path / "in", tmp_path / "one", PLAIN)
    run(tmp_path / "tars", tmp_path / "two", PLAIN)
    one, two = (open_dataset(tmp_path / name).read(0) for name in ("one", "two"))
    assert np.array_equal(one.latent, two.latent)
    assert (one.caption, one.sizes) == (two.caption, two.sizes)


def test_one_changed_tar_changes_its_own_examples(tmp_path):
    for number in range(3):
        make_tar(tmp_path / "in" / f"{number}.tar", {f"{number}.png": png(), f"{number}.txt": b"old"})
    run(tmp_path / "in", tmp_path / "set", PLAIN)
    make_tar(tmp_path / "in" / "1.tar", {"1.png": png(96, 64), "1.txt": b"new words"})
    report = run(tmp_path / "in", tmp_path / "set", PLAIN)
    assert (report.added, report.kept, report.removed) == (1, 2, 1)
    assert captions(tmp_path / "set") == ["new words", "old", "old"]


def test_what_is_wrong_with_a_tar_is_said_and_nothing_else_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_sources, "_MOST_PICTURE", 50_000)
    place = tmp_path / "in"
    whole = make_tar(place / "1.tar", {"a.png": png(), "a.txt": b"a", "b.txt": b"b", "c.png": b"x" * 60_000})
    make_tar(place / "2.tar", {"d.png": png(), "d.txt": b"d", "e.png": png()})
    with tarfile.open(place / "2.tar") as archive:
        cut = archive.getmember("e.png").offset_data + 20
    os.truncate(place / "2.tar", cut)
    (place / "3.tar").write_bytes(b"no tar" * 1000)
    (place / "4.tar").write_bytes(whole.read_bytes()[:100])
    with tarfile.open(place / "5.tar", "w") as archive:
        link = tarfile.TarInfo("f.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    names, left_out = found(place)
    assert names == {"1.tar/a": "a", "2.tar/d": "d"}
    assert left_out == [
        "'1.tar/b' (no picture among txt)",
        "'1.tar/c' (60000 bytes, at most 50000 are read)",
        "the last file of '2.tar' (cut off)",
        "what follows in '3.tar' (invalid header)",
    ]


def test_names_in_a_tar_are_no_paths(tmp_path):
    make_tar(tmp_path / "in" / "a.tar", {"../../evil.png": png(), "../../evil.txt": b"e", "/x/y.png": png()})
    run(tmp_path / "in", tmp_path / "set", replace(PLAIN, caption_when_missing="none"))
    assert captions(tmp_path / "set") == ["e", "none"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.tar", "dataset.json", "in", "set", "shard-000000.index.npy", "shard-000000.tar",
    ]  # fmt: skip


LISTS = {
    "csv": ("list.csv", 'path,caption\na.png,"an a, red"\ndeeper\\b.png,b\n'),
    "other names and order": ("list.csv", "TEXT;id;File_Name\nan a, red;1;a.png\nb;2;deeper/b.png\n"),
    "tabs and a mark": ("list.csv", "\ufeffimage\ttext\r\na.png\tan a, red\r\ndeeper/b.png\tb\r\n"),
    "jsonl": (
        "metadata.jsonl",
        '{"file_name": "a.png", "text": "an a,\\n red"}\n\n{"file_name": "deeper/b.png", "text": "b"}',
    ),
}


@pytest.mark.parametrize(("name", "text"), LISTS.values(), ids=LISTS.keys())
def test_lists_as_other_tools_write_them_are_read(tmp_path, name, text):
    for picture in ("a.png", "deeper/b.png", "not listed.png"):
        save(tmp_path, picture, caption=None)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert found(tmp_path / name) == ({"a.png": "an a, red", "deeper/b.png": "b"}, [])


def test_a_list_may_name_ready_hints(tmp_path):
    save(tmp_path, "a.png", caption=None)
    save(tmp_path, "edges/a.png", caption=None)
    (tmp_path / "list.csv").write_text("path,hint,caption\na.png,edges/a.png,a\n")
    run(tmp_path / "list.csv", tmp_path / "set", replace(PLAIN, hints=("from folder",)))
    assert open_dataset(tmp_path / "set").hints == ("from folder",)
    assert captions(tmp_path / "set") == ["a"]


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/x.png", "C:\\x.png", "\\\\host\\x.png", "out/secret.png", "", "a\0.png"]
)
def test_names_in_a_list_that_lead_out_are_left_out(tmp_path, name):
    save(tmp_path, "secret.png")
    folder = tmp_path / "in"
    save(folder, "a.png", caption=None)
    os.symlink(tmp_path, folder / "out")
    rows = [{"path": name, "caption": "x"}, {"path": "a.png", "caption": "a"}]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names, left_out = found(folder / "list.jsonl")
    assert list(names) == ["a.png"]
    assert len(left_out) == 1
    assert "(no path below 'in')" in left_out[0]


def test_pictures_that_are_not_there_and_those_named_twice_are_left_out(tmp_path):
    save(tmp_path, "a.png", caption=None)
    (tmp_path / "list.csv").write_text("path,caption\na.png,first\ngone.png,x\nlist.csv,x\na.png,second\n")
    report = run(tmp_path / "list.csv", tmp_path / "set", PLAIN)
    assert captions(tmp_path / "set") == ["first"]
    assert report.left_out.first == [
        "'gone.png' in line 3 (no such picture)",
        "'list.csv' in line 4 (no such picture)",
        "a picture that is named twice",
    ]
    assert run(tmp_path / "list.csv", tmp_path / "set", PLAIN).kept == 1


BAD_LISTS = {
    "no column of paths": (
        "a.csv",
        b"name,caption\nx,y\n",
        ["no column of paths", "name, caption", "file_name"],
    ),
    "an empty csv": ("a.csv", b"", ["no column of paths: it has none"]),
    "not UTF-8": ("a.csv", "path\ngrün".encode("latin-1"), ["'a.csv' is not UTF-8", "save it again"]),
    "a table that never ends": ("a.csv", b'path\n"' + b"x" * 200_000, ["line 2", "no row of a table"]),
    "no JSON": ("a.jsonl", b'{"path": "a.png"}\n{', ["line 2", "no JSON", '{"path": "cats/1.jpg"']),
    "deep JSON": ("a.jsonl", b"[" * 100_000, ["line 1", "no JSON"]),
    "a JSON list": ("a.jsonl", b"[1]", ["line 1", "names and values"]),
    "JSON without paths": ("a.jsonl", b'{"url": "http://x"}', ["no column of paths", "url"]),
    "only gone pictures": ("a.csv", b"path\nb.png\n", ["there are no pictures"]),
    "no captions": ("a.csv", b"path\nthere.png\n", ["1 of 1 pictures have no caption"]),
}


@pytest.mark.parametrize(("name", "content", "words"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_lists_that_are_none_are_refused_in_one_sentence(tmp_path, name, content, words):
    save(tmp_path, "there.png", caption=None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SCEditError) as caught:
        run(tmp_path / name, tmp_path / "set", PLAIN)
    assert all(word in str(caught.value) for word in words), str(caught.value)
