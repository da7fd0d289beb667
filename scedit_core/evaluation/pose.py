"""How well drawn people stand as other drawn people do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..annotators.opencv import load_opencv

# of OpenPose's 18 joints in their order: colours in which ControlNet's drawings have them, and how far apart
# two people put them, from COCO's evaluation of key points (the neck, which it lacks, as a shoulder)
_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_SIGMAS = (
    0.026, 0.079, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.025,
    0.025, 0.035, 0.035,
)  # fmt: skip
_APART = 40  # of 255: colours of joints are 85 apart, limbs are drawn at 0.6 of them
_SMALLEST = 6  # pixels of a joint; less is the rim of another one

Points = np.ndarray  # (n, 2), x and y in pixels


def pose_oks(found: np.ndarray, hint: np.ndarray) -> float:
    """Object key point similarity of people drawn in ControlNet's colours, uint8 `(H, W, 3)`: 0 to 1.

    COCO's measure: `exp(-d^2 / (2 * area * (2 * sigma)^2))` of each joint in the hint, d to the nearest joint
    of its kind that was found; the mean over a person's joints, then over people. People that touch are one.
    A hint without people is met by a picture without any.
    """
    joints = _joints(found)
    people = _people(hint)
    if not people:
        return float(not any(map(len, joints.values())))
    return float(np.mean([_similarity(person, joints) for person in people]))


def _similarity(person: Mapping[int, Points], found: Mapping[int, Points]) -> float:
    """Of one person, whose area is that of the box around the joints."""
    points = np.concatenate(list(person.values()))
    width, height = np.maximum(np.ptp(points, axis=0), 1.0)
    scores = []
    for kind, own in person.items():
        for point in own:
            distance = np.square(found[kind] - point).sum(1).min() if len(found[kind]) else np.inf
            scores.append(np.exp(-distance / (2 * width * height * (2 * _SIGMAS[kind]) ** 2)))
    return float(np.mean(scores))


def _people(drawn: np.ndarray) -> list[dict[int, Points]]:
    """Joints of each person: of all that is drawn in one piece."""
    cv2 = load_opencv()
    count, pieces = cv2.connectedComponents((drawn.max(-1) > _APART).astype(np.uint8), connectivity=8)
    joints = _joints(drawn)
    people: list[dict[int, Points]] = [{} for _ in range(count)]
    for kind, points in joints.items():
        places = points.round().astype(int)
        owners = pieces[places[:, 1], places[:, 0]]
        for owner in np.unique(owners):
            people[owner][kind] = points[owners == owner]
    return [person for person in people if person]


def _joints(drawn: np.ndarray) -> dict[int, Points]:
    """Middles of the discs of each joint's colour."""
    cv2 = load_opencv()
    found = {}
    for kind, colour in enumerate(_COLOURS):
        is_one = np.abs(drawn.astype(np.int32) - colour).max(-1) < _APART
        count, _, sizes, middles = cv2.connectedComponentsWithStats(is_one.astype(np.uint8), connectivity=8)
        kept = [number for number in range(1, count) if sizes[number, cv2.CC_STAT_AREA] >= _SMALLEST]
        found[kind] = middles[kept]
    return found
