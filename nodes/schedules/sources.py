"""Schedules that come over a link: ComfyUI's curves, and the keyframes of its hooks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from comfy_api.latest import io

from ...scedit_core import SCEditError
from ...scedit_core.schedule import Points

Settings = Mapping[str, Any]

# As ComfyUI's 'Curve Editor' puts it out. io.Curve would be a widget, which is drawn in Nodes 2.0 alone.
CURVE = io.Custom("CURVE")
_PIECES, _MOST_PIECES = 16, 240  # in which a bend is followed, and all bends together


def curve_points(settings: Settings) -> Points:
    """A CURVE from `rest` at its bottom to `strength` at its top, bends in straight pieces."""
    curve: Any = settings.get("curve")
    strength, rest = settings["strength"], settings["rest"]
    if not hasattr(curve, "interp") or not hasattr(curve, "points"):
        raise SCEditError(
            "the shape 'curve' follows a CURVE of ComfyUI's 'Curve Editor'; connect it, or choose another"
        )
    places = sorted({0.0, 1.0, *(place for place, _ in curve.points if 0 < place < 1)})
    pieces = min(_PIECES, max(1, _MOST_PIECES // len(places)))
    found = [0.0]
    for left, right in pairwise(places):
        inner = np.linspace(left, right, pieces + 1)[1:-1]
        straight = np.interp(inner, [left, right], [curve.interp(left), curve.interp(right)])
        is_straight = np.allclose(curve.interp_array(inner), straight, atol=1e-4)
        found += [right] if is_straight else [*inner.tolist(), right]
    return tuple((place, rest + (strength - rest) * curve.interp(place)) for place in found)


def keyframe_points(settings: Settings) -> Points:
    """Strengths that hold from one keyframe to the next, as in hooks; the first holds before it too."""
    frames = getattr(settings.get("keyframes"), "keyframes", None)
    if not frames:
        raise SCEditError(
            "the shape 'hook keyframes' takes those of ComfyUI's 'Create Hook Keyframe', got none; connect "
            "them, or choose another shape"
        )
    longest = max(frame.guarantee_steps for frame in frames)
    if longest > 1:
        raise SCEditError(
            f"a keyframe is to hold for at least {longest} steps, which a schedule cannot say; set its "
            "guarantee_steps to 0 or 1"
        )
    points = [(0.0, float(frames[0].strength))]
    for frame in frames[1:]:
        points += [(frame.start_percent, points[-1][1]), (frame.start_percent, float(frame.strength))]
    return tuple(points)
