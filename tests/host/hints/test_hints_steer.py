"""Hints from the pack's own nodes drive the sandbox's tuners in a real server, from picture to picture.

The bounds leave a wide margin to what the miniature model reaches; its tuners are trained anew at times.
"""

from __future__ import annotations

import pytest
from server_tools import figures, graphs, measure, pixels, world


@pytest.fixture(scope="module")
def gallery(studio):
    """A held-out scene."""
    return figures.Gallery(studio, world.HELD_OUT[:1])


@pytest.fixture
def painted(server):
    """Paints with one control whose hint some node makes of a picture in the input folder."""

    def paint(caption, tuner, picture, hint_node):
        graph = graphs.graph(graphs.Painting(caption, (graphs.Control(tuner, picture, "canny"),)))
        graph["hint0"] = {**hint_node, "inputs": {"image": ["picture0", 0], **hint_node["inputs"]}}
        return pixels(server, server.execute(graph))

    return paint


def test_inpainting_keeps_what_the_mask_leaves_and_fills_the_rest(gallery):
    scene, mask = gallery.scenes[0], figures.centre_mask()
    picture = gallery.inpaint(scene, mask, "centre")
    kept, free = (measure.kept_error(one, scene.picture, ~mask) for one in (picture, gallery.paint(scene)))
    assert kept < 0.8 * free
    assert (picture[mask].max(-1) < 20).mean() < 0.5  # the hint's black is not painted


def test_any_hint_brings_the_colours_of_a_picture(gallery, painted):
    scene = gallery.scenes[0]
    settings = {"condition": "color", "condition.ratio": measure.RATIO, "resolution": 0, "keep_size": True}
    any_hint = {"class_type": "SCEditPreprocess", "inputs": settings}
    picture = painted(scene.caption, "color_control", gallery.source(scene), any_hint)
    assert figures.error(picture, scene) < 0.75 * figures.error(gallery.paint(scene), scene)


def test_a_drawing_gives_its_outline_through_the_canny_control(studio, painted):
    drawing, caption = world.drawing("star"), "a large red star on a blue background"
    sketch = {"class_type": "SCEditSketch", "inputs": {"threshold": 0.3, "lines": "auto", "thin": True}}
    picture = painted(caption, "canny_control", studio.upload("drawn_star", drawing), sketch)
    free = studio.paint(graphs.Painting(caption))
    outline = measure.edges(drawing)
    assert measure.edge_f1(picture, outline) > max(0.5, 1.7 * measure.edge_f1(free, outline))


@pytest.mark.parametrize("prompts", [("positive",), ("positive", "negative")], ids="+".join)
def test_a_control_on_prompts_alone_is_followed_as_one_on_the_model(studio, server, gallery, prompts):
    scene = gallery.scenes[0]
    control = graphs.Control("canny_control", gallery.source(scene), "canny")
    graph = graphs.graph(graphs.Painting(scene.caption, (control,)))
    graph["sampler"]["inputs"]["model"] = graph.pop("apply")["inputs"]["model"]
    for prompt in prompts:
        inputs = {"conditioning": [prompt, 0], "conditions": ["compose", 0], "strength": 1.0}
        graph[f"scoped_{prompt}"] = {"class_type": "SCEditApplyToPrompt", "inputs": inputs}
        graph["sampler"]["inputs"][prompt] = [f"scoped_{prompt}", 0]
    wanted = measure.edges(scene.picture)
    followed = measure.edge_f1(pixels(server, server.execute(graph)), wanted)
    assert followed > max(0.5, 2 * measure.edge_f1(gallery.paint(scene), wanted))
