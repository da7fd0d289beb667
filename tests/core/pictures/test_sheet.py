"""Sheets of pictures: where they stand, that they stay as they are, their labels, and what is refused."""

from itertools import pairwise

import pytest
import torch

from scedit_core import SCEditError
from scedit_core.pictures import lettering
from scedit_core.pictures.sheet import MOST_PIXELS, compare_sheet

GAP = 12
PAPER = 236 / 255


def pictures(*sizes):
    """Random pictures of these heights and widths."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


def same(*count_and_size):
    """So many pictures of a size."""
    count, *size = count_and_size
    return pictures(*[size] * count)


def part(sheet, top, left, height, width):
    """A part of a sheet, as a picture."""
    return sheet.picture[top : top + height, left : left + width].movedim(-1, 0)


def test_pictures_stand_row_by_row_bit_for_bit():
    shown = same(5, 20, 30)
    sheet = compare_sheet(shown, columns=2)
    assert sheet.picture.shape == (3 * 20 + 4 * GAP, 2 * 30 + 3 * GAP, 3)
    for number, picture in enumerate(shown):
        row, column = divmod(number, 2)
        place = part(sheet, GAP + row * (20 + GAP), GAP + column * (30 + GAP), 20, 30)
        assert torch.equal(place, picture)
    empty = part(sheet, GAP + 2 * (20 + GAP), 2 * GAP + 30, 20, 30)
    assert torch.allclose(empty, torch.tensor(PAPER))


def test_smaller_pictures_stand_in_the_middle_and_rows_are_as_high_as_their_highest():
    large, small, tiny = pictures((40, 60), (10, 20), (4, 4))
    sheet = compare_sheet([large, small, tiny], columns=2)
    assert sheet.picture.shape == (40 + 4 + 3 * GAP, 2 * 60 + 3 * GAP, 3)
    assert torch.equal(part(sheet, GAP + 15, 2 * GAP + 60 + 20, 10, 20), small)
    assert torch.equal(part(sheet, 2 * GAP + 40, GAP + 28, 4, 4), tiny)
    around = part(sheet, GAP, 2 * GAP + 60, 40, 19)
    assert torch.allclose(around, torch.tensor(PAPER))


@pytest.mark.parametrize(
    ("size", "cell_size", "shown"),
    [
        ((100, 200), 50, (25, 50)),
        ((200, 100), 50, (50, 25)),
        ((30, 20), 50, (30, 20)),
        ((1, 400), 50, (1, 50)),
        ((64, 64), 64, (64, 64)),
        ((100, 200), 0, (100, 200)),
    ],
)
def test_pictures_become_smaller_in_proportion_and_never_grow(size, cell_size, shown):
    sheet = compare_sheet([torch.full((3, *size), 0.25)], cell_size=cell_size)
    assert sheet.picture.shape == (shown[0] + 2 * GAP, shown[1] + 2 * GAP, 3)
    assert torch.allclose(part(sheet, GAP, GAP, *shown), torch.tensor(0.25))


@pytest.mark.parametrize(
    ("count", "size", "columns"),
    [
        (1, (64, 64), 1), (2, (64, 64), 2), (3, (64, 64), 2), (4, (64, 64), 2), (5, (64, 64), 3),
        (7, (64, 64), 3), (10, (64, 64), 4), (16, (64, 64), 4), (256, (4, 4), 16),
        (4, (96, 64), 2), (3, (256, 64), 3), (3, (64, 256), 1), (6, (64, 96), 2),
    ],
)  # fmt: skip
def test_without_columns_the_sheet_is_nearly_square(count, size, columns):
    assert compare_sheet(same(count, *size)).columns == columns


def test_there_are_no_more_columns_than_pictures():
    assert compare_sheet(same(3, 8, 8), columns=64).columns == 3


def inked(sheet, top, left, height, width):
    """Whether anything is written in a part of the sheet."""
    return bool((part(sheet, top, left, height, width) < 0.5).any())


def test_a_label_stands_below_its_own_picture():
    shown = [torch.ones(3, 100, 100)] * 4
    sheet = compare_sheet(shown, ["first", "", "", "last"], columns=2)
    line = sheet.picture.shape[0] // 2 - GAP - 100
    places = [(GAP + 100, GAP), (GAP + 100, 2 * GAP + 100)]
    assert [inked(sheet, top, left, line, 100) for top, left in places] == [True, False]
    below = sheet.picture.shape[0] - line
    assert [inked(sheet, below, left, line, 100) for _, left in places] == [False, True]


def test_rows_without_a_label_have_no_room_for_one():
    labelled = compare_sheet(same(4, 100, 100), ["", "", "one"], columns=2).picture.shape[0]
    without = compare_sheet(same(4, 100, 100), ["", " "], columns=2).picture.shape[0]
    assert without == 2 * 100 + 3 * GAP < labelled < without + 40


def test_what_is_written_stays_below_the_pictures_and_within_the_sheet():
    shown = [torch.ones(3, 40, size) for size in (100, 10, 60)]
    long = "a label that is much longer than three lines " * 9
    sheet = compare_sheet(shown, [long] * 3, columns=3)
    dark = (sheet.picture < 0.8).any(-1)
    rows = dark.any(1).nonzero().flatten().tolist()
    assert min(rows) > GAP + 40
    assert max(rows) < sheet.picture.shape[0] - GAP // 2
    columns = dark.any(0).nonzero().flatten().tolist()
    assert max(b - a for a, b in pairwise(columns)) >= GAP - 2  # labels do not run into each other
    assert GAP - 2 < min(columns) < max(columns) < sheet.picture.shape[1] - GAP + 2


def test_small_pictures_have_cells_in_which_a_label_can_be_read():
    assert compare_sheet(same(1, 8, 8), ["strength"]).picture.shape[1] == 96 + 2 * GAP
    assert compare_sheet(same(1, 8, 8)).picture.shape[1] == 8 + 2 * GAP


def test_letters_that_no_font_has_are_told_and_something_stands_there(monkeypatch):
    monkeypatch.setattr(lettering, "FONTS", ())
    shown = [torch.ones(3, 100, 100)]
    sheet = compare_sheet(shown, ["\u732b a"])
    assert sheet.missing == {"\u732b"}
    assert torch.equal(sheet.picture, compare_sheet(shown, ["? a"]).picture)


def test_the_same_input_makes_the_same_sheet_and_is_not_changed():
    shown = pictures((50, 80), (90, 30), (20, 20))
    before = [picture.clone() for picture in shown]
    labels = ["one", "\u03b1 = 0.5", "\u732b"]
    first, second = (compare_sheet(shown, labels, cell_size=64) for _ in range(2))
    assert torch.equal(first.picture, second.picture)
    assert all(map(torch.equal, shown, before))


def test_values_outside_of_a_picture_are_cut():
    sheet = compare_sheet([torch.full((3, 8, 8), 3e38), torch.full((3, 8, 8), -5.0)], cell_size=4)
    assert sheet.picture.min() == 0
    assert sheet.picture.max() == 1


def black(height, width):
    """A black picture that takes no memory."""
    return torch.zeros(3, 1, 1).expand(3, height, width)


REFUSED = {
    "nothing": ([], {}, "a sheet has 1 to 256 pictures, got 0; show no more at a time"),
    "too many": (same(257, 1, 1), {}, "a sheet has 1 to 256 pictures, got 257"),
    "too large": ([black(4096, 4096)], {}, "would have 4120 x 4120 pixels, and 16777216 are the most"),
    "a cross": (pictures((1, 9000), (9000, 1)), {"columns": 2}, "set cell_size to"),
    "too large at its size": ([black(900, 900)] * 64, {"cell_size": 800}, "set cell_size to"),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "settings", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sheet_is_refused_in_a_sentence(shown, settings, words):
    with pytest.raises(SCEditError) as caught:
        compare_sheet(shown, **settings)
    assert words in str(caught.value)


def test_the_size_that_a_refusal_names_is_one_that_fits():
    shown = [black(900, 2000), black(3000, 7)] * 20
    labels = ["many words " * 20] * 30
    with pytest.raises(SCEditError) as caught:
        compare_sheet(shown, labels)
    named = int(str(caught.value).split("set cell_size to ")[1].split()[0])
    height, width, _ = compare_sheet(shown, labels, cell_size=named).picture.shape
    assert MOST_PIXELS // 2 < height * width <= MOST_PIXELS
