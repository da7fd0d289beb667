"""The drawn world that the sandbox's model is trained on, and the figures that measure its pictures."""

from __future__ import annotations

import numpy as np
import pytest
from support import REPOSITORY, load_module

pytest.importorskip("cv2")
world = load_module("scedit_world", REPOSITORY / "sandbox" / "world.py")
measure = load_module("scedit_measure", REPOSITORY / "sandbox" / "measure.py")
SCENES = [world.scene(seed) for seed in range(12)]


def test_a_seed_gives_the_same_scene_and_another_seed_another() -> None:
    again = world.scene(3)
    assert np.array_equal(again.picture, SCENES[3].picture)
    assert again.caption == SCENES[3].caption
    assert not np.array_equal(SCENES[3].picture, SCENES[4].picture)


@pytest.mark.parametrize("scene", SCENES, ids=range(len(SCENES)))
def test_a_caption_names_what_is_in_the_picture(scene) -> None:
    assert scene.picture.shape == (world.SIZE, world.SIZE, 3)
    assert 1 <= len(scene.things) <= 3
    assert [thing.words for thing in scene.things if thing.words not in scene.caption] == []
    assert 0 <= scene.nearness.min() <= scene.nearness.max() <= 1


@pytest.mark.parametrize("style", world.STYLES)
def test_a_style_changes_a_picture_and_keeps_its_edges(style) -> None:
    styled = [world.STYLES[style](scene.picture) for scene in SCENES]
    plain = [scene.picture for scene in SCENES]
    assert measure.style_distance(plain, plain) == 0
    assert measure.style_distance(styled, plain) > 2
    edges = [measure.edge_f1(s, measure.edges(p)) for s, p in zip(styled, plain, strict=True)]
    assert np.mean(edges) > 0.5


def test_figures_are_perfect_for_the_same_picture_and_fall_with_its_distance() -> None:
    one, other = SCENES[0].picture, SCENES[1].picture
    assert measure.edge_f1(one, measure.edges(one)) == 1
    assert measure.edge_f1(np.roll(one, 2, axis=1), measure.edges(one)) > 0.95  # within the tolerance
    assert measure.edge_f1(other, measure.edges(one)) < 0.5
    assert measure.color_error(one, one) == 0
    assert measure.color_error(other, one) > 10
    kept = np.ones(one.shape[:2], bool)
    assert measure.kept_error(np.clip(one.astype(int) + 3, 0, 255).astype(np.uint8), one, kept) <= 3


def test_the_colours_that_a_caption_names_are_in_the_scene() -> None:
    def errors(change):
        return [measure.named_error(change(s.picture), world.named_places(s)) for s in SCENES]

    assert max(errors(np.asarray)) <= 12  # that colours are drawn apart from their names
    assert np.mean(errors(lambda picture: np.roll(picture, 1, axis=-1))) > 50
