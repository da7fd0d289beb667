"""The shapes of a schedule, a row each: what they ask for, and what points come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from comfy_api.latest import io

from ...scedit_core import SCEditError
from ...scedit_core import schedule as shapes
from ...scedit_core.curve import Curve
from ...scedit_core.schedule import Points
from ..widgets import number, text, whole
from .sources import CURVE, Settings, curve_points, keyframe_points

_OWN_TEXT = "own text"


def text_of(shape: Settings) -> str:
    """The schedule of what was chosen and set, as a text."""
    name = shape["shape"]
    return shape["text"].strip() if name == _OWN_TEXT else Curve(SHAPES[name].points(shape)).text


@dataclass(frozen=True)
class Shape:
    """What a shape asks for, and the points that come of the answers."""

    inputs: Callable[[], list[io.Input]]
    points: Callable[[Settings], Points]


def _strength() -> io.Float.Input:
    return _slider("strength", 1.0, 2.0, 0.05, "Factor where the shape is strongest; 1 is the node's own.")


def _rest() -> io.Float.Input:
    return _slider(
        "rest",
        0.0,
        2.0,
        0.05,
        "Factor at the shape's other end and outside of it; above strength, the shape is turned over.",
    )


def _start(default: float = 0.0) -> io.Float.Input:
    return _slider("start", default, 1.0, 0.01, "Part of the denoising where it begins: 0 is the first step.")


def _end(default: float = 1.0) -> io.Float.Input:
    return _slider("end", default, 1.0, 0.01, "Part of the denoising where it ends: 1 is the last step.")


def _slider(name: str, default: float, most: float, step: float, tooltip: str) -> io.Float.Input:
    return number(name, default, (0.0, most), tooltip, step=step, display_mode=io.NumberDisplay.slider)


def _with_ends() -> list[io.Input]:
    return [_strength(), _rest(), _start(), _end()]


def _stairs_inputs() -> list[io.Input]:
    tooltip = "How many stairs there are from strength to rest."
    return [*_with_ends(), whole("stairs", 3, (2, shapes.MOST_STAIRS), tooltip)]


def _text_inputs() -> list[io.Input]:
    tooltip = "Part of the denoising : factor, …, linear between, held outside. Two at one place are a jump."
    return [text("text", shapes.EXAMPLE, tooltip)]


def _curve_inputs() -> list[io.Input]:
    tooltip = "From ComfyUI's 'Curve Editor': its bottom is rest, its top strength."
    socket = CURVE.Input("curve", tooltip=tooltip, extra_dict={"forceInput": True})
    return [socket, _strength(), _rest()]


def _keyframes_inputs() -> list[io.Input]:
    tooltip = "From ComfyUI's 'Create Hook Keyframe' nodes: their strengths, from their percents on."
    return [io.HookKeyframes.Input("keyframes", tooltip=tooltip)]


def _range(settings: Settings, *names: str) -> list[float]:
    """Settings of a shape by name, places among them checked."""
    for name in {"start", "end"}.intersection(names):
        if not 0 <= settings[name] <= 1:
            raise SCEditError(f"{name} is a part of the denoising, 0 to 1, got {settings[name]:g}; change it")
    return [settings[name] for name in names]


def _fade(settings: Settings, *names: str) -> list[float]:
    return _range(settings, *names, "start", "end")


def _stairs(settings: Settings) -> Points:
    first, last, start, end = _fade(settings, "strength", "rest")
    return shapes.stairs(first, last, start, end, settings["stairs"])


def _early(settings: Settings) -> Points:
    return shapes.early(*_range(settings, "strength", "rest", "end"))


def _late(settings: Settings) -> Points:
    return shapes.late(*_range(settings, "strength", "rest", "start"))


SHAPES: Mapping[str, Shape] = {
    "constant": Shape(lambda: [_strength()], lambda s: shapes.constant(s["strength"])),
    "fade in": Shape(_with_ends, lambda s: shapes.fade(*_fade(s, "rest", "strength"))),
    "fade out": Shape(_with_ends, lambda s: shapes.fade(*_fade(s, "strength", "rest"))),
    "bell": Shape(_with_ends, lambda s: shapes.bell(*_fade(s, "strength", "rest"))),
    "steps": Shape(_stairs_inputs, _stairs),
    "early only": Shape(lambda: [_strength(), _rest(), _end(0.5)], _early),
    "late only": Shape(lambda: [_strength(), _rest(), _start(0.5)], _late),
    _OWN_TEXT: Shape(_text_inputs, lambda _: ()),
    "curve": Shape(_curve_inputs, curve_points),
    "hook keyframes": Shape(_keyframes_inputs, keyframe_points),
}
