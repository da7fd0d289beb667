"""Factors that change: what a text says, what lies between its points, and texts that say nothing."""

import pytest

from scedit_core import SCEditError
from scedit_core.curve import Curve, read_curve


def read(text: str) -> Curve:
    """A schedule."""
    curve = read_curve(text, "a schedule", 1.0, "0:0.2, 0.4:1, 0.8:0")
    assert curve is not None
    return curve


@pytest.mark.parametrize(
    "text",
    [
        "0:0.2, 0.4:1, 0.8:0",
        "0=0.2,0.4=1,0.8=0",
        "0.2@0, 1@0.4, 0@.8",
        " 0 : 2e-1 ;\n0.4:1.,, .8:0,",
        "0\uff1a0.2\uff0c0.4\uff1a1\u30010.8\uff1a0",
    ],
)
def test_points_are_read_in_every_way_they_are_written(text):
    assert read(text).points == ((0, 0.2), (0.4, 1), (0.8, 0))


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_text_is_no_curve(text):
    assert read_curve(text, "a schedule", 1.0, "0:1") is None


@pytest.mark.parametrize(
    ("place", "factor"), [(0, 0.2), (0.2, 0.6), (0.4, 1), (0.6, 0.5), (0.8, 0), (0.9, 0), (1, 0), (-1, 0.2)]
)
def test_it_is_linear_between_points_and_held_outside(place, factor):
    assert read("0:0.2, 0.4:1, 0.8:0").at(place) == pytest.approx(factor)


@pytest.mark.parametrize(("place", "factor"), [(0.1, 0), (0.2, 1), (0.4, 1), (0.6, 1), (0.6001, 0)])
def test_a_jump_belongs_to_its_stronger_side(place, factor):
    assert read("0:0, 0.2:0, 0.2:1, 0.6:1, 0.6:0").at(place) == factor


def test_pieces_and_text_are_the_same_curve():
    curve = read("0:0.2, 0.4:1, 0.4:-1, 0.8:-1")
    finer = curve.refined(8)
    assert len(finer.points) == 8 + 1 + 2
    assert all(finer.at(k / 50) == pytest.approx(curve.at(k / 50)) for k in range(51))
    assert read(curve.text) == curve


def test_what_changes_nothing_and_what_leaves_nothing_are_known():
    assert [(c.is_one, c.is_zero) for c in map(read, ("0:1, 1:1", "0.5:0", "0:0, 1:1"))] == [
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.5", ["written like", "'0.5'"]),
        ("0:1:2", ["'0:1:2'"]),
        ("a:1", ["'a:1'"]),
        ("0:nan", ["'0:nan'"]),
        ("0:1e999", ["-10 to 10", "1e999"]),
        ("0:inf", ["'0:inf'"]),
        ("-0.1:1", ["0 to 1", "-0.1"]),
        ("1.5:1", ["0 to 1", "1.5"]),
        ("40:1", ["0 to 1", "40"]),
        ("0:11", ["-10 to 10", "11"]),
        ("0.5:1, 0.2:0", ["0.2 after 0.5", "in order"]),
        ("0:1," * 257, ["257 points", "256"]),
        ("0:1," * 3000, ["12000 characters", "8192"]),
        ("0:\u202e1", ["written like", "\\u202e"]),
        ("fade in", ["'fade in'"]),
    ],
)
def test_texts_that_are_no_curve_are_refused_in_a_sentence(text, words):
    with pytest.raises(SCEditError) as caught:
        read(text)
    assert not [word for word in words if word not in str(caught.value)]


@pytest.mark.parametrize("points", [(), ((0, float("nan")),), ((1, 0), (0, 0))])
def test_a_curve_is_in_order_and_finite(points):
    with pytest.raises(SCEditError, match="in the order of their places"):
        Curve(points)
