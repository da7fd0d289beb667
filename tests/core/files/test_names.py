"""Names that users and strangers' graphs give: where they may lead, and what every system can hold."""

from __future__ import annotations

import pytest

from scedit_core import SCEditError
from scedit_core.files.names import existing_parts, leads_out, new_parts

# what no input may take for the name of something below a folder
ELSEWHERE = {
    "empty": "",
    "spaces": "  ",
    "a dot": ".",
    "the folder above": "..",
    "above by a way round": "a/../..",
    "above with backslashes": "a\\..\\..",
    "absolute": "/etc/passwd",
    "absolute with two slashes": "//etc/passwd",
    "two slashes alone": "//",
    "three slashes": "///etc",
    "a share": "\\\\server\\share\\x",
    "a drive": "C:\\x",
    "a drive with a slash": "C:/x",
    "a drive without": "C:foo",
    "a drive inside": "a/C:foo",
    "a device": "NUL",
    "a device with an ending": "a/con.safetensors",
    "a device with a space": "Aux .txt",
    "a port": "COM1",
    "a port of another kind": "lpt¹",
    "NUL": "a\0b",
    "half of a pair": "a\ud800b",
    "a number": 7,
    "nothing": None,
    "a list": ["a"],
    "bytes": b"a",
}
# what can be there, but is not made new
NOT_NEW = {
    "control characters": "a\x07b",
    "a line break": "a\nb",
    "an escape": "a\x1b[31mb",
    "a turn of the direction": "a\u202eb",
    "a reserved character": 'a"b',
    "a stream": "a:b.txt",
    "a pipe": "a|b",
    "a trailing dot": "a./b",
    "trailing dots": "a/b...",
    "a trailing space": "a /b",
    "a leading dot": ".hidden",
    "81 Chinese characters": "字" * 81,
    "5,000 letters": "x" * 5000,
}
GOOD = {
    "a": ("a",),
    "a/b": ("a", "b"),
    r"a\b": ("a", "b"),
    "./a//b/": ("a", "b"),
    "水彩 v1.5": ("水彩 v1.5",),
}


@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_what_leads_elsewhere_is_no_name(name):
    assert existing_parts(name) == ()
    with pytest.raises(SCEditError, match="is no name for a file here") as caught:
        new_parts(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", NOT_NEW.values(), ids=NOT_NEW.keys())
def test_what_not_every_system_holds_is_not_made(name):
    with pytest.raises(SCEditError, match=r"is no name for a file here \(\w") as caught:
        new_parts(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("name", "parts"), GOOD.items())
def test_good_names_work_with_either_slash(name, parts):
    assert existing_parts(name) == new_parts(name) == parts


def test_66_chinese_characters_fit():
    assert new_parts("字" * 66)


def test_links_lead_out_or_do_not(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path / "in")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root" / "loop")
    (tmp_path / "linked").symlink_to(tmp_path / "root")
    assert leads_out(tmp_path / "root", tmp_path / "root" / "out" / "x")
    assert not leads_out(tmp_path / "linked", tmp_path / "linked" / "x")
    assert not leads_out(tmp_path / "root", tmp_path / "root" / "loop")
