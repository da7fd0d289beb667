"""Compare Sheet: pictures of growing sockets and batches on one labelled sheet."""

from __future__ import annotations

import logging

import pytest
import torch
from host_tools import picture

GAP = 12


@pytest.fixture
def sheet(nodes):
    """The node's sheet and what stands on the node."""

    def made(*images, **settings):
        rows = {f"image{number}": image for number, image in enumerate(images)}
        with torch.inference_mode():
            output = nodes["SCEditCompareSheet"].execute(images=rows, **settings)
        assert len(output.ui["images"]) == 1
        return output.args[0], output.ui["text"][0]

    return made


def test_every_picture_of_every_socket_has_a_cell_in_the_order_of_the_sockets(nodes):
    shown = [torch.full((1, 8, 8, 3), number / 16) for number in range(12)]
    rows = {f"image{number}": image for number, image in enumerate(shown)}
    backwards = dict(sorted(rows.items()))  # image10 before image2
    made = nodes["SCEditCompareSheet"].execute(images=backwards, columns=12).args[0]
    middle = made[0, GAP + 4, GAP + 4 :: 8 + GAP, 0]
    assert middle[:12].tolist() == [number / 16 for number in range(12)]


def test_batches_and_pictures_of_all_sizes_and_channels_come_together(sheet):
    grey, clear = torch.full((1, 10, 20, 1), 0.25), torch.zeros(1, 30, 10, 4)
    made, said = sheet(picture(40, 60, batch=3), grey, None, clear, columns=5)
    assert made.shape == (1, 40 + 2 * GAP, 5 * 60 + 6 * GAP, 3)
    assert said == "pictures: 5, columns: 5, size: 372 x 64"
    assert torch.equal(made[0, GAP : GAP + 40, GAP : GAP + 60], picture(40, 60, batch=3)[0])
    middles = [(GAP + 30 + column * (60 + GAP)) for column in (3, 4)]
    assert [made[0, GAP + 20, x].tolist() for x in middles] == [[0.25] * 3, [1.0] * 3]


def test_lines_of_labels_belong_to_pictures_and_an_empty_one_is_none(sheet):
    made, _ = sheet(torch.ones(3, 100, 100, 3), labels="first\r\n\r\nthird", columns=3)
    written = (made[0, GAP + 100 :] < 0.5).any(-1).any(0)
    found = [bool(written[GAP + k * 112 : GAP + k * 112 + 100].any()) for k in range(3)]
    assert found == [True, False, True]


def test_labels_that_are_left_over_and_letters_without_a_font_are_told(sheet, pack, monkeypatch, caplog):
    monkeypatch.setattr(pack.scedit_core.pictures.lettering, "FONTS", ())
    with caplog.at_level(logging.WARNING):
        _, said = sheet(torch.ones(2, 50, 50, 3), labels="\u732b\u72ac\n\u732b\nthird\n\n")
    facts, more, letters = said.split("\n")
    assert facts.startswith("pictures: 2, ")
    assert more == "note: there are 2 pictures; lines of labels after these are left out"
    assert letters.startswith("note: no font of this computer has \u72ac, \u732b: '?' stands on the sheet")
    assert [record.message for record in caplog.records] == [f"SCEdit: {letters.removeprefix('note: ')}"]
    assert "\n" not in sheet(torch.ones(2, 50, 50, 3), labels="one\ntwo\n\n  \n")[1]


REFUSED = {
    "nothing": ((), "there is no picture to show; connect one to image0"),
    "nothing but a muted node": ((None,), "there is no picture to show"),
    "two channels": ((picture(8, 8), torch.zeros(1, 8, 8, 2)), "image1: an image has 1, 3 or 4 channels"),
    "no channel of a batch": ((torch.zeros(8, 8, 3),), "image0: expected at least one image (N, H, W, C)"),
    "an empty batch": ((torch.zeros(0, 8, 8, 3),), "image0: expected at least one image"),
    "not a number": ((torch.full((1, 8, 8, 3), float("nan")),), "image0: an image holds numbers that"),
    "another kind": (("text",), "image0 takes an IMAGE, got 'text'"),
    "too many": ((torch.zeros(257, 1, 1, 3),), "a sheet has 1 to 256 pictures, got 257"),
    "too large": ((torch.zeros(1, 4096, 4096, 1),), "set cell_size to 3584 or less"),
}  # fmt: skip


@pytest.mark.parametrize(("images", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sheet_ends_in_a_sentence(sheet, pack, images, words):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        sheet(*images)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": 65}, "columns is a whole number from 0 to 64, got 65"),
        ({"columns": -1}, "columns is a whole number from 0 to 64, got -1"),
        ({"cell_size": -1}, "cell_size is a whole number from 0 to 8192, got -1"),
        ({"cell_size": 1.5}, "cell_size is a whole number"),
        ({"labels": "\ud800"}, "labels takes a text in UTF-8"),
    ],
)
def test_odd_settings_end_in_a_sentence(sheet, pack, settings, words):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        sheet(picture(8, 8), **settings)
    assert words in str(caught.value)
