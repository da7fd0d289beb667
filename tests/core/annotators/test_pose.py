"""Poses that OpenPose finds: bodies, hands and faces as controlnet-aux draws them, on the people."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detector_tools import FIGURE, SIZES, GlassHand, figure, joint_offsets, scene, weight_file

from scedit_core import SCEditError
from scedit_core.annotators.nets import weights as w
from scedit_core.annotators.nets.pose import PoseNet, _draw_hand, build_pose, pose


@pytest.fixture(scope="module")
def pose_net(net_weights):
    """OpenPose that knows the figure of detector_tools."""
    return build_pose(weight_file(net_weights, w.BODY_WEIGHTS.name))


def test_pose_is_controlnet_auxs(pose_net):
    from controlnet_aux.open_pose import Body, OpenposeDetector

    body = object.__new__(Body)
    body.model = pose_net.body
    photo = figure(256, 192)
    theirs = OpenposeDetector(body)(photo, detect_resolution=192, image_resolution=192, output_type="np")
    assert theirs.any()
    assert np.array_equal(pose(photo, pose_net), theirs)


@pytest.mark.parametrize(("size", "is_mirrored"), zip(SIZES, (False, True, True), strict=True))
def test_a_pose_lies_on_the_people(pose_net, size, is_mirrored):
    photo = figure(*size)
    seen = np.ascontiguousarray(photo[:, ::-1]) if is_mirrored else photo
    hint = pose(seen, pose_net, resolution=192)
    assert hint.shape == photo.shape
    assert max(joint_offsets(hint, is_mirrored)) < 1


def test_people_are_looked_for_in_tiny_photos_too(pose_net):
    assert not pose(scene(8, 8), pose_net).any()
    with pytest.raises(SCEditError, match="2 x 4000 is too narrow"):
        pose(np.zeros((4000, 2, 3), np.uint8), pose_net)


def test_a_face_is_drawn_as_controlnet_aux_draws_it(net_weights):
    from controlnet_aux.open_pose import Body, Face, OpenposeDetector

    files = [weight_file(net_weights, file.name) for file in (w.BODY_WEIGHTS, w.FACE_WEIGHTS)]
    net, photo = build_pose(files[0], face=files[1]), figure(192, 192)
    with_face = pose(photo, net)
    assert (with_face == 255).all(axis=-1).any()  # faces are drawn white, bodies never
    detector = OpenposeDetector(Body(files[0]), face_estimation=Face(files[1]))  # reads the files itself
    settings = {"detect_resolution": 192, "image_resolution": 192, "output_type": "np"}
    assert np.array_equal(detector(photo, include_face=True, **settings), with_face)


def test_the_hand_net_is_controlnet_auxs(net_weights):
    from controlnet_aux.open_pose import Hand

    files = [weight_file(net_weights, file.name) for file in (w.BODY_WEIGHTS, w.HAND_WEIGHTS)]
    ours, theirs = build_pose(*files).hand, Hand(files[1]).model  # reads the file itself
    photo = torch.from_numpy(scene(64, 64)).movedim(-1, 0)[None] / 256 - 0.5
    seen = ours(photo)
    assert seen.shape == (1, 22, 8, 8)
    assert seen.std() > 0.01
    assert torch.equal(seen, theirs(photo))


def test_hands_are_drawn_at_the_wrists_where_controlnet_aux_finds_them(pose_net):
    from controlnet_aux.open_pose import Body, Hand, OpenposeDetector

    height, width = size = (192, 160)
    body, hand = object.__new__(Body), object.__new__(Hand)
    body.model, hand.model = pose_net.body, GlassHand()
    photo = figure(*size)
    drawn = pose(photo, PoseNet(pose_net.body, hand.model))
    (person,) = OpenposeDetector(body, hand).detect_poses(photo, include_hand=True)
    hands = (person.left_hand, person.right_hand)
    for joints, wrist in zip(hands, (FIGURE[7], FIGURE[4]), strict=True):
        places = [(joint.x, joint.y) for joint in joints]
        assert np.ptp([x for x, _ in places]) * width > 8
        assert np.hypot(*(np.mean(places, axis=0) - wrist)) < 0.12
        for x, y in places:
            assert tuple(drawn[int(y * height), int(x * width)]) == (0, 0, 255)
    blue = ((drawn == (0, 0, 255)).all(axis=-1)).sum()
    assert blue > ((pose(photo, pose_net) == (0, 0, 255)).all(axis=-1)).sum() + 100


def test_fingers_are_drawn_from_wrist_to_tip():
    joints = [SimpleNamespace(x=0.1 + 0.04 * n, y=0.5) for n in range(21)]
    joints[3].x = -1 / 100  # not found
    canvas = np.zeros((100, 100, 3), np.uint8)
    _draw_hand(canvas, joints)
    assert tuple(canvas[50, 10]) == (0, 0, 255)
    assert canvas[50].any(axis=-1).sum() > 75
    assert not canvas[:40].any()
    _draw_hand(canvas, ())
