"""What the trained sandbox shows: pictures of held-out scenes follow their controls, alone and together.

The bounds leave a margin to what its miniature model reaches.
"""

import re
from functools import partial

import numpy as np
import pytest
from server_tools import CHECKPOINT, composition, figures, measure, world


@pytest.fixture(scope="module")
def gallery(studio):
    """Two held-out scenes."""
    return figures.Gallery(studio, world.HELD_OUT[:2])


def test_canny_puts_edges_where_the_hint_has_them(gallery):
    with_control = gallery.mean(figures.f1, lambda scene: gallery.paint(scene, {"canny": 1.0}))
    assert with_control > max(0.75, 2 * gallery.mean(figures.f1, gallery.paint))


def test_color_brings_the_colors_of_the_hint(gallery):
    with_control = gallery.mean(figures.error, lambda scene: gallery.paint(scene, {"color": 1.0}))
    assert with_control < 0.55 * gallery.mean(figures.error, gallery.paint)


def test_both_controls_at_once_keep_what_each_does(gallery):
    def paint(scene):
        return figures.paint_separate(gallery, scene)

    assert gallery.mean(figures.f1, paint) > max(0.65, 2 * gallery.mean(figures.f1, gallery.paint))
    assert gallery.mean(figures.error, paint) < 0.6 * gallery.mean(figures.error, gallery.paint)


@pytest.mark.parametrize("style", world.STYLES)
def test_a_style_comes_near_its_pictures_and_leaves_edges_to_canny(gallery, style):
    wanted = [world.STYLES[style](scene.picture) for scene in gallery.scenes]
    plain, styled = ([gallery.paint(scene, style=name) for scene in gallery.scenes] for name in ("", style))
    assert measure.style_distance(styled, wanted) < 0.5 * measure.style_distance(plain, wanted)
    assert gallery.mean(figures.f1, partial(figures.paint_styled, gallery, style=style)) > 0.65


def test_inpainting_keeps_what_the_hint_shows_and_fills_the_rest(gallery):
    mask = figures.centre_mask()
    painted = [(gallery.inpaint(scene, mask, "centre"), scene.picture) for scene in gallery.scenes]
    free = gallery.mean(lambda made, scene: measure.kept_error(made, scene.picture, ~mask), gallery.paint)
    assert np.mean([measure.kept_error(made, wanted, ~mask) for made, wanted in painted]) < 0.75 * free
    assert all((made[mask].max(-1) < 20).mean() < 0.1 for made, _ in painted), "black was left in the mask"


def test_controls_at_weight_zero_give_the_picture_without_them(gallery):
    scene = gallery.scenes[0]
    assert np.array_equal(gallery.paint(scene, {"canny": 0.0, "color": 0.0}), gallery.paint(scene))


def test_a_strip_travels_from_one_outline_to_another(gallery):
    first, second = composition.outline_strip(gallery)
    assert composition.is_falling(first)
    assert composition.is_falling(second[::-1])
    assert min(first[0], second[-1]) > 0.8
    assert max(first[-1], second[0]) < 0.3


def test_two_areas_each_follow_their_own_control_as_in_pictures_of_their_own(gallery):
    alone, together = composition.halves_f1(gallery, 1)
    assert together > 0.9 * alone > 0.7


def test_a_control_is_weaker_where_the_prompt_matters_more_and_stronger_where_it_does(gallery):
    scene = gallery.scenes[0]

    def followed(priority):
        return figures.f1(gallery.paint(scene, {"canny": 1.0}, how={"priority": priority}), scene)

    prompt, control = map(followed, ("prompt", "control"))
    balanced = figures.f1(gallery.paint(scene, {"canny": 1.0}), scene)
    assert 1.5 * figures.f1(gallery.paint(scene), scene) < prompt < control < balanced


def test_presets_keep_what_they_are_named_for(gallery):
    """What moves a picture as a whole, and what draws its fine edges and leaves its colours."""
    scene = gallery.scenes[0]
    plain = gallery.paint(scene).astype(np.float32)

    def moved(preset):
        return np.abs(gallery.paint(scene, {"canny": 1.0}, how={"skip_weights": preset}) - plain).mean()

    deep, detail, structure = map(moved, ("deep", "detail", "structure"))
    assert deep < detail < 0.75 * structure


def test_presets_differ_by_more_than_seeds(gallery):
    (apart,) = composition.presets_apart(
        gallery, gallery.scenes[:1], ("structure", "deep"), ("canny",)
    ).values()
    assert apart > 2


def test_colours_off_early_leave_edges_to_canny_and_colours_to_the_prompt(gallery):
    one = figures.Gallery(gallery.studio, world.HELD_OUT[:1])
    (edges_on, colors_on), (edges_off, colors_off) = (
        composition.followed_against(one, schedule) for schedule in ("", "0:1, 0.6:1, 0.6:0")
    )
    assert edges_off > edges_on - 0.1
    assert colors_off < 0.9 * colors_on


def analysis_prompt(picture, caption, half):
    """A Skip Analysis of a picture, without half of the skips and without all."""
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["checkpoint", 1], "text": caption}},
        "picture": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "encode": {
            "class_type": "VAEEncode", "inputs": {"pixels": ["picture", 0], "vae": ["checkpoint", 2]},
        },
        "analysis": {
            "class_type": "SCEditSkipAnalysis",
            "inputs": {
                "model": ["checkpoint", 0], "positive": ["text", 0], "latent_image": ["encode", 0],
                "seed": 1, "percent": 0.5, "scale": 0.0, "half": half,
            },
        },
    }  # fmt: skip


@pytest.mark.parametrize("half", ["deepest", "shallowest", "every second"])
def test_the_decoders_variance_falls_from_all_skips_to_half_to_none_as_in_the_paper(gallery, server, half):
    scene = gallery.scenes[0]
    shown = server.execute(analysis_prompt(gallery.source(scene), scene.caption, half))["analysis"]
    found = re.findall(r"variance of the last decoder output ([\d.]+)", shown["text"][0])
    every, some, none = map(float, found)
    assert every > some > none
    assert none < 0.5 * every
