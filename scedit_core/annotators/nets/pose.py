"""Bodies, hands and faces by OpenPose, drawn in ControlNet's colours on black."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import SCEditError
from ..opencv import load_opencv
from .libraries import load_library
from .loading import fill_net
from .sizing import Look, to_net, to_pixels

# The net sees every photo 184 pixels high, but its 57 maps are brought to the size at which people are looked
# for, some of them in float64 and twice; all of this is numpy's.
POSE_LOOK = Look(multiple=1, seen_bytes=950, photo_bytes=20, on_host=True)
HANDS_LOOK = replace(POSE_LOOK, fixed=500_000_000)  # hands are seen at 736 x 736 pixels in any photo

_FINGERS = [(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)]
_NET_HEIGHT = 184  # the height at which the body net sees every photo


class PoseNet(nn.Module):
    """The nets for bodies, and for hands and faces where they are wanted."""

    def __init__(self, body: nn.Module, hand: nn.Module | None = None, face: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.hand = hand
        self.face = face


def build_pose(body: Path, hand: Path | None = None, face: Path | None = None) -> PoseNet:
    """The nets of `body_pose_model.pth`, `hand_pose_model.pth` and `facenet.pth`.

    Raises SCEditError for other files, and without controlnet-aux.
    """
    library = load_library("controlnet_aux.open_pose", "controlnet-aux")
    return PoseNet(
        fill_net(library.body.bodypose_model, body, _without_block),
        None if hand is None else fill_net(library.hand.handpose_model, hand, _without_block),
        None if face is None else fill_net(library.face.FaceNet, face),
    )


def _without_block(key: str) -> str:
    """`model0.conv1_1.weight` is `conv1_1.weight` in the published files."""
    return key.split(".", 1)[1]


def pose(photo: np.ndarray, net: PoseNet, *, resolution: int = 0) -> np.ndarray:
    """People in an RGB photo, uint8 `(H, W, 3)` to the same: their joints and limbs on black.

    They are looked for in the photo scaled to `resolution` as its short side, 0 for its own, and drawn at
    the photo's size. Hands and faces are drawn where their nets are there.
    """
    height, width = photo.shape[:2]
    size = POSE_LOOK.size(height, width, resolution)
    if width * _NET_HEIGHT < height:
        raise SCEditError(
            f"a photo of {width} x {height} is too narrow for OpenPose, which sees it {_NET_HEIGHT} pixels "
            "high; cut it to the people in it"
        )
    library = load_library("controlnet_aux.open_pose", "controlnet-aux")
    seen = photo if size == (height, width) else to_pixels(to_net(photo, size, torch.device("cpu")).round())
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in _find_people(library, seen, net):
        canvas = library.util.draw_bodypose(canvas, person.body.keypoints)
        for hand in (person.left_hand, person.right_hand):
            _draw_hand(canvas, hand or ())
        canvas = library.util.draw_facepose(canvas, person.face)
    return canvas


def _find_people(library: Any, photo: np.ndarray, net: PoseNet) -> Sequence[Any]:
    """What controlnet-aux finds in a photo, with our nets in its detectors; positions from 0 to 1."""
    detector = library.OpenposeDetector(
        _with_net(library.Body, net.body),
        _with_net(library.Hand, net.hand),
        _with_net(library.Face, net.face),
    )
    try:
        return detector.detect_poses(photo, net.hand is not None, net.face is not None)
    except IndexError as error:  # controlnet-aux 0.0.10 where one limb seems to belong to three people
        raise SCEditError(
            "OpenPose cannot tell the people of this photo apart; try another resolution, or cut the photo"
        ) from error


def _with_net(kind: type[Any], net: nn.Module | None) -> Any:
    """A detector of controlnet-aux around a net that is loaded; its constructor would load a file itself."""
    detector = object.__new__(kind)
    detector.model = net
    return detector


def _draw_hand(canvas: np.ndarray, joints: Sequence[Any]) -> None:
    """Fingers as ControlNet draws them. The library's own drawing needs matplotlib, for its colours alone."""
    cv2, (height, width) = load_opencv(), canvas.shape[:2]
    points = [(int(joint.x * width), int(joint.y * height)) for joint in joints]
    fingers = [(points[a], points[b]) for a, b in _FINGERS] if points else []
    for number, (start, end) in enumerate(fingers):
        if min(*start, *end) > 0:
            color = [255 * part for part in colorsys.hsv_to_rgb(number / len(_FINGERS), 1.0, 1.0)]
            cv2.line(canvas, start, end, color, thickness=2)
    for point in points:
        if min(point) > 0:
            cv2.circle(canvas, point, 4, (0, 0, 255), thickness=-1)
