"""Labels in any script: which font they are drawn with, and how they are broken into lines."""

import pytest
from made_font import write_font
from PIL import ImageFont

from scedit_core.pictures import lettering
from scedit_core.pictures.lettering import Face, face_for, lines_of, plain

CHINESE = "\u4e00\u4e01\u4e02\u4e03"  # four letters that follow each other


@pytest.fixture
def fonts(monkeypatch, tmp_path):
    """Leave a computer these fonts alone, each with so many Chinese letters."""

    def have(*counts):
        files = [str(write_font(tmp_path / f"{count}.ttf", CHINESE[0], count)) for count in counts]
        monkeypatch.setattr(lettering, "FONTS", ("there is none.ttf", *files))
        return files

    return have


def test_plain_english_needs_no_font_of_the_computer(fonts):
    fonts(10)
    assert face_for(["strength 0.5", "~!?"]) == Face(None, frozenset())
    assert face_for([]) == Face(None, frozenset())


def test_the_first_font_that_has_all_letters_is_taken(fonts):
    _, fitting, _ = fonts(2, 4, 9)
    assert face_for(["strength", f"{CHINESE} 0.5"]) == Face(fitting, frozenset())


def test_of_fonts_that_lack_letters_the_first_that_lacks_fewest_is_taken(fonts):
    _, better, _ = fonts(1, 3, 3)
    face = face_for([CHINESE, "\u0416"])
    assert face == Face(better, frozenset({CHINESE[3], "\u0416"}))
    assert face.written(f"a {CHINESE}") == f"a {CHINESE[:3]}?"


def test_without_fonts_the_letters_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(lettering, "FONTS", ())
    assert face_for(["a \u732b", "\u72ac 1"]) == Face(None, frozenset("\u732b\u72ac"))


def test_fonts_are_named_by_bare_names_of_which_each_is_there_once():
    assert len(set(lettering.FONTS)) == len(lettering.FONTS)
    assert [name for name in lettering.FONTS if "/" in name or "\\" in name] == []


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("", ""),
        (" a  b\t c ", "a b c"),
        ("a\u202eb\0c", "a b c"),
        ("a\u3000b", "a b"),
        ("a" * 301, "a" * 300 + "…"),
        ("\u732b", "\u732b"),
    ],
)
def test_a_label_is_one_line_of_what_can_be_seen(label, text):
    assert plain(label) == text


FONT = ImageFont.load_default(20)
EN = FONT.getlength("nnnn")


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("", ()),
        ("nnnn", ("nnnn",)),
        ("nn nn nn", ("nn", "nn", "nn")),
        ("n n nn n", ("n n", "nn n")),
        ("nnnnnnn", ("nnnn", "nnn")),
        ("n nnnnnnnn", ("n", "nnnn", "nnnn")),
        ("nnnn nnnn nnnn", ("nnnn", "nnnn", "nnnn")),
        ("nnnn nnnn nnnn n", ("nnnn", "nnnn", "nn…")),
    ],
)
def test_lines_break_between_words_and_end_in_an_ellipsis(label, lines):
    assert lines_of(label, FONT, EN, 3) == lines


def test_chinese_breaks_between_any_two_letters_and_beside_latin_words(fonts):
    (name,) = fonts(4)
    font = face_for([CHINESE]).at(20)
    assert font.path == name
    width = max(map(font.getlength, (CHINESE[:2], CHINESE[2:])))
    assert lines_of(CHINESE, font, width, 3) == (CHINESE[:2], CHINESE[2:])
    latin = font.getlength(f"{CHINESE[0]}nn") + 1
    assert lines_of(f"{CHINESE[0]}nnnn", font, latin, 3)[0] == CHINESE[0]


@pytest.mark.parametrize("label", ["word " * 60, "a" * 300, "a-b_c" * 50, "W i " * 70])
def test_no_line_is_wider_than_its_picture(label):
    for width in (96, 150, 512):
        lines = lines_of(plain(label), FONT, width, 3)
        assert len(lines) == 3
        assert [line for line in lines if FONT.getlength(line) > width + 2] == []  # kerning, in pixels


def test_no_width_is_too_narrow_to_come_to_an_end():
    assert lines_of("nnnnn", FONT, 0, 3) == ("n", "n", "n…")
