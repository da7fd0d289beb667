"""What each bundled workflow is for, as a check of its pictures against the one that it makes without SCEdit.

Pictures are uint8 (H, W, 3); `edited` are all that come out, `base` is one of the plain model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from detector_tools import joint_offsets
from server_tools import measure, moving, world
from workflow_tools import DRAWINGS, FEATHER, HALF, HOLE, KEPT, LANDSCAPE, LINES, SCENE, smaller

Meaning = Callable[[Sequence[np.ndarray], np.ndarray], None]


def follows_edges(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Its edges are those of the scene, and were not without."""
    wanted = measure.edges(SCENE.picture)
    for picture in edited:
        assert measure.edge_f1(picture, wanted) > 1.5 * measure.edge_f1(base, wanted)


def is_changed(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """It is another picture than without."""
    assert all((picture != base).any() for picture in edited)


def has_edges(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Most of its edges are those of the scene, as a control that was trained to its end draws them."""
    for picture in edited:
        assert measure.edge_f1(picture, measure.edges(SCENE.picture)) > 0.5


def follows_colors(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Its colours are those of the scene, and were not without."""
    for picture in edited:
        assert measure.color_error(picture, SCENE.picture) < 0.75 * measure.color_error(base, SCENE.picture)


def is_night(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Its colours and texture are nearer to the style's."""
    wanted = [world.STYLES["night"](world.scene(seed).picture) for seed in range(30)]
    assert measure.style_distance(edited, wanted) < 0.8 * measure.style_distance([base], wanted)


def travels(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """From the edges of one drawing to those of the other, a little with each picture."""
    first, second = (
        [measure.edge_f1(picture, measure.edges(drawing)) for picture in edited]
        for drawing in DRAWINGS.values()
    )
    assert len(edited) == 7
    assert min(first[0], second[-1]) > 0.7
    assert max(first[-1], second[0]) < 0.5
    for falling in (first, second[::-1]):
        assert all(later < earlier + 0.05 for earlier, later in pairwise(falling))


def is_of_two_halves(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Each half has the edges of its own drawing, not there without, and the colour of its own prompt."""
    (picture,) = edited
    halves = [slice(0, HALF), slice(HALF, None)]
    for half, drawing, channel in zip(halves, DRAWINGS.values(), (2, 0), strict=True):  # blue left, red right
        wanted = measure.edges(smaller(drawing)[:, HALF // 2 : -HALF // 2])
        assert measure.edge_f1(picture[:, half], wanted) > 0.5
        assert measure.edge_f1(base[:, half], wanted) < 0.25
        assert picture[HALF, half][HALF // 2].argmax() == channel


def lets_go(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """With the control only early the edges are less exact than with it throughout, and still there."""
    wanted = measure.edges(SCENE.picture)
    throughout, early, without = (measure.edge_f1(picture, wanted) for picture in (*edited, base))
    assert throughout > early + 0.1
    assert early > without + 0.3


def is_filled(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """New in the hole, where it goes on from what is around it, and as it was elsewhere."""
    for picture in edited:
        assert measure.kept_error(picture, SCENE.picture, ~HOLE) < 1
        assert measure.kept_error(picture, SCENE.picture, HOLE) > 5
        assert (picture[HOLE].max(-1) < 20).mean() < 0.1
        assert _seam(picture) < 0.75 * _seam(base)


def _seam(picture: np.ndarray) -> float:
    """Mean step from inside the hole to outside, over its four sides."""
    sides = [turned.astype(int) for turned in (np.rot90(picture, turns) for turns in range(4))]
    return float(np.mean([np.abs(side[63, 64:192] - side[64, 64:192]).mean() for side in sides]))


def goes_on(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """The photo is as it was but for its feathered rim, and what lies beside it goes on from there."""
    (picture,) = edited
    inside, photo, beside = (np.zeros((world.SIZE, world.SIZE), bool) for _ in range(3))
    for area, grown in ((inside, -FEATHER), (photo, 0), (beside, 16)):
        rows = slice(KEPT.start - grown, KEPT.stop + grown)
        area[rows, rows] = True
    beside &= ~photo
    assert measure.kept_error(picture, LANDSCAPE.picture, inside) < 1
    assert (picture[~photo].max(-1) < 20).mean() < 0.1
    made, plain = (measure.kept_error(p, LANDSCAPE.picture, beside) for p in (picture, base))
    assert made < 0.8 * plain


def follows_depth(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Things are where the depth has them."""
    (picture,) = edited
    wanted = measure.edges(np.repeat((255 * SCENE.nearness).astype(np.uint8)[..., None], 3, axis=2))
    assert measure.edge_f1(picture, wanted) > max(0.35, 1.5 * measure.edge_f1(base, wanted))


def is_sharp_in_few_steps(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Its edges are as exact as in many steps."""
    (picture,) = edited
    assert measure.edge_f1(picture, measure.edges(SCENE.picture)) > 0.8


def follows_the_drawing(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Its edges are the lines of the drawing."""
    (picture,) = edited
    assert measure.edge_f1(picture, LINES) > max(0.5, 1.5 * measure.edge_f1(base, LINES))


def follows_frame_by_frame(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """Each frame has the edges of its own hint, and less of those of any other that is far from it."""
    found = np.array(
        [[measure.edge_f1(picture, measure.edges(frame)) for frame in moving.FRAMES] for picture in edited]
    )
    assert found.shape == (len(moving.FRAMES),) * 2
    assert found.argmax(axis=1).tolist() == list(range(len(moving.FRAMES)))
    assert found.diagonal().min() > 0.6


def stands_as_the_figure(edited: Sequence[np.ndarray], base: np.ndarray) -> None:
    """It has lines where the figure has its joints."""
    (picture,) = edited
    with_pose, without = (np.mean(joint_offsets(measure.edges(p)[..., None])) for p in (picture, base))
    assert with_pose < 0.5 * without


MEANINGS: dict[str, list[Meaning]] = {
    "scedit_blend": [travels],
    "scedit_regions": [is_of_two_halves],
    "scedit_schedule": [follows_edges, lets_go],
    "scedit_mixer": [follows_edges, has_edges, follows_colors],
    "scedit_inpaint": [is_filled],
    "scedit_outpaint": [goes_on],
    "scedit_depth": [follows_depth],
    "scedit_pose": [stands_as_the_figure],
    "scedit_sketch": [follows_the_drawing],
    "scedit_few_steps": [is_sharp_in_few_steps],
    "scedit_video": [follows_frame_by_frame],
    "scedit_canny": [follows_edges, has_edges],
    "scedit_color": [follows_colors],
    "scedit_canny_color": [follows_edges, has_edges, follows_colors],
    "scedit_style_canny": [follows_edges, has_edges, is_night],
    "scedit_from_lora": [is_changed],
    "scedit_from_controlnet": [is_changed],
    "scedit_train_control": [follows_edges],
    "scedit_train_style": [is_night],
}
