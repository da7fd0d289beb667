"""Figures of pictures: known values, and what they must not mind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from disc_tools import discs

from scedit_core.annotators.drawn.canny import canny
from scedit_core.annotators.drawn.color import color
from scedit_core.annotators.nets.segmentation import PALETTE
from scedit_core.evaluation.displacement import displacement, in_words, overlapping
from scedit_core.evaluation.measures import (
    block_error,
    clip_score,
    color_error,
    depth_rmse,
    edge_f1,
    edges,
    hint_lines,
    kept_error,
    kept_part,
    mean_iou,
    structural_similarity,
    style_distance,
)
from scedit_core.evaluation.pose import pose_oks


def picture(height=96, width=128, seed=0):
    """Smooth patches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def lines(*columns, side=64):
    """Upright white lines on black."""
    drawn = np.zeros((side, side, 3), np.uint8)
    drawn[:, columns] = 255
    return drawn


def flat(value, side=64):
    """One grey."""
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("tolerance", "least", "most"), [(0, 0.0, 0.05), (3, 0.99, 1.0)], ids=["exact", "within 3 pixels"]
)
def test_edges_two_pixels_away_count_only_within_the_tolerance(tolerance, least, most):
    result, wanted = flat(0), flat(0)
    result[:, 30:], wanted[:, 32:] = 255, 255
    assert least <= edge_f1(result, hint_lines(canny(wanted)), tolerance) <= most


def test_edges_of_the_own_hint_are_all_found_whatever_its_polarity():
    hint = canny(picture())
    assert edge_f1(picture(), hint_lines(hint), 0) == 1
    assert np.array_equal(hint_lines(255 - hint), hint_lines(hint))
    assert np.array_equal(edges(picture()), hint_lines(hint))


@pytest.mark.parametrize(
    ("result", "hint", "wanted"),
    [(flat(9), flat(0), 1.0), (picture(64, 64), flat(0), 0.0), (flat(9), lines(32), 0.0)],
    ids=["neither has edges", "the hint has none", "the result has none"],
)
def test_pictures_without_edges(result, hint, wanted):
    assert edge_f1(result, hint_lines(hint)) == wanted


@pytest.mark.parametrize("ratio", [8, 16, 33, 48, 64])
def test_blocks_of_a_hint_are_those_it_was_drawn_with(ratio):
    photo, other = picture(seed=1), picture(seed=2)
    hint = color(photo, ratio)
    assert block_error(photo, hint) == 0
    assert block_error(other, hint) == pytest.approx(color_error(other, photo, ratio))


def test_a_hint_of_colours_that_has_no_blocks_is_compared_in_usual_ones():
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    assert block_error(flat(100, 128)[:96], noise) == color_error(flat(100, 128)[:96], noise)


def test_what_is_masked_does_not_count():
    wanted = flat(100)
    hint = wanted.copy()
    hint[:32] = 0
    result = wanted + np.uint8(7)
    result[:32] = 255
    assert kept_error(result, hint, kept_part(hint)) == 7
    assert kept_error(result, flat(0), kept_part(flat(0))) == 0


def test_similarity_of_structure_falls_from_one_with_what_is_changed():
    one = picture(200, 200)
    noise = np.random.default_rng(1).normal(0, 25, one.shape)
    noisy = (one + noise).clip(0, 255).astype(np.uint8)
    assert structural_similarity(one, one) == pytest.approx(1)
    assert 0.3 < structural_similarity(noisy, one) < 0.99
    assert structural_similarity(255 - one, one) == 0
    assert structural_similarity(one[:12, :12], one[:12, :12]) == pytest.approx(1)


def test_depth_is_apart_by_its_root_mean_square():
    far = flat(0)
    far[:32] = 100
    assert depth_rmse(far, flat(0)) == pytest.approx(100 / np.sqrt(2))


def test_classes_overlap_by_the_share_of_what_either_shows():
    hint = np.zeros((4, 8, 3), np.uint8)
    hint[:, :4], hint[:, 4:] = PALETTE[2], PALETTE[9]
    found = hint.copy()
    found[:, 2:4] = PALETTE[9]
    assert mean_iou(hint, hint) == 1
    assert mean_iou(found, hint) == pytest.approx((2 / 4 + 4 / 6) / 2)
    assert mean_iou(np.clip(hint.astype(int) + 3, 0, 255).astype(np.uint8), hint) == 1


def person(x, y, side=128):
    """Two arms and a neck as ControlNet draws them."""
    drawn = np.zeros((side, side, 3), np.uint8)
    joints = {1: (x, y), 2: (x - 20, y), 5: (x + 20, y), 3: (x - 25, y + 25)}
    colours = {1: (255, 85, 0), 2: (255, 170, 0), 5: (85, 255, 0), 3: (255, 255, 0)}
    for other in (2, 5, 3):
        start = joints[2] if other == 3 else joints[1]
        cv2.line(drawn, start, joints[other], [int(0.6 * part) for part in colours[other]], 6)
    for kind, place in joints.items():
        cv2.circle(drawn, place, 4, colours[kind], -1)
    return drawn


def test_people_stand_as_others_do_by_their_joints():
    here, near, away = person(64, 50), person(66, 50), person(64, 90)
    assert pose_oks(here, here) == 1
    assert 1 > pose_oks(near, here) > 0.9 > 0.5 > pose_oks(away, here)
    assert pose_oks(np.zeros_like(here), here) == 0
    assert pose_oks(np.zeros_like(here), np.zeros_like(here)) == 1


def test_each_person_of_several_counts_once():
    both = np.maximum(person(30, 40, 160), person(120, 100, 160))
    assert pose_oks(person(30, 40, 160), both) == pytest.approx(0.5, abs=0.02)


def test_styles_are_apart_by_colour_and_texture():
    one = [picture(seed=seed) for seed in range(3)]
    darker = [each // 2 for each in one]
    assert style_distance(one, one) == 0
    assert style_distance(darker, one) > 10


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((16, 0), "16 pixels to the right"),
        ((-5, 0), "5 pixels to the left"),
        ((0, 9), "9 pixels down"),
        ((7, -4), "7 pixels to the right and 4 up"),
        ((0, 0), "in place"),
    ],
)
def test_a_shift_is_found_and_undone_and_said(shift, words):
    hints = [discs(seed) for seed in range(2)]
    found = [np.roll(hint, (shift[1], shift[0]), (0, 1)) for hint in hints]
    maps = [[edges(one) for one in group] for group in (found, hints)]
    assert displacement(*maps) == shift
    assert in_words(shift) == words
    for one, other in (overlapping(*pair, shift) for pair in zip(found, hints, strict=True)):
        assert np.array_equal(one, other)


def test_a_clip_score_is_a_hundredfold_cosine_and_never_below_nothing():
    along, across = np.array([3.0, 0.0], np.float32), np.array([0.0, 2.0], np.float32)
    assert clip_score(along, 5 * along) == 100
    assert clip_score(along, along + across) == pytest.approx(100 * 3 / 13**0.5)
    assert clip_score(along, across) == clip_score(along, -along) == clip_score(along, 0 * along) == 0
