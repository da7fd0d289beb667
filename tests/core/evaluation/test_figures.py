"""Figures of many pictures: their spread, and readings of a hint in another place."""

from __future__ import annotations

import numpy as np
import pytest
from disc_tools import discs

from scedit_core.annotators.drawn.canny import canny
from scedit_core.evaluation.figures import change, figures_of, style_figures, with_hint_shift, with_shift
from scedit_core.evaluation.kinds import KINDS
from scedit_core.evaluation.record import Record, Spread

CANNY = KINDS["canny"]


PICTURES = [discs(seed) for seed in range(2)]
HINTS = [canny(picture) for picture in PICTURES]
BLANK = [np.zeros_like(picture) for picture in PICTURES]


def record(on, pictures=PICTURES):
    """What is known of results `on` before other places are tried."""
    found = {"on": [on], "off": [BLANK], "pictures": [pictures]}
    return Record("canny", 2, (0,), {}, figures_of(CANNY, found, HINTS), {}, 10.0)


def moved(pictures, right, down=0):
    """The same pictures, elsewhere."""
    return [np.roll(picture, (down, right), (0, 1)) for picture in pictures]


def test_figures_have_every_way_and_measure():
    figures = record(PICTURES).figures
    assert figures.keys() == {"edge_f1", "exact_f1"}
    assert figures["exact_f1"] == {"on": Spread(1.0), "off": Spread(0.0), "pictures": Spread(1.0)}


@pytest.mark.parametrize("shift", [(16, 0), (-9, 0), (0, -12), (10, 8)])
def test_results_in_another_place_are_read_there(shift):
    results = moved(PICTURES, *shift)
    found = with_shift(record(results), [results], HINTS)
    assert found.shift == shift
    assert found.figures["edge_f1"]["moved"].mean > 0.95 > 0.6 > found.figures["edge_f1"]["on"].mean


@pytest.mark.parametrize("results", [PICTURES, BLANK, moved(PICTURES, 2), [discs(7), discs(8)]])
def test_results_in_their_place_or_of_something_else_are_not_moved(results):
    before = record(results)
    assert with_shift(before, [results], HINTS) == before


def test_hints_beside_their_pictures_are_found_by_the_pictures_themselves():
    originals = moved(PICTURES, -16)  # whose hints lie to the right of what they show
    before = record(PICTURES, originals)
    assert with_hint_shift(before, originals, HINTS).hint_shift == (16, 0)
    assert with_hint_shift(record(PICTURES), PICTURES, HINTS).hint_shift is None
    others = [discs(7), discs(8)]
    assert with_hint_shift(record(PICTURES, others), others, HINTS).hint_shift is None


def test_pictures_change_by_levels_and_not_at_all_only_if_they_are_the_same():
    other = [PICTURES[0], PICTURES[1].copy()]
    assert change([PICTURES], [other]) == 0
    other[1][0, 0, 0] += 1
    assert 0 < change([PICTURES], [other]) < 1e-4
    assert change([[np.uint8(0) * BLANK[0]]], [[BLANK[0] + 7]]) == 7


def test_a_style_has_a_distance_for_each_seed():
    rows = [PICTURES, [picture // 2 for picture in PICTURES]]
    figures = style_figures(KINDS["style"], {"on": rows}, PICTURES)["style_distance"]["on"]
    assert figures.mean == figures.seeds > 0
    assert figures.pictures == 0
