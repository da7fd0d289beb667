"""The Schedule node: texts of its shapes, of curves and of hook keyframes, and what steps hear of them."""

from __future__ import annotations

import comfy.hooks
import comfy.samplers
import pytest
import torch
from comfy_api.latest import _input
from host_tools import tiny_model

NUMBERS = {"strength": 1.0, "rest": 0.0, "start": 0.0, "end": 1.0}


def make(nodes, shape, **settings):
    """The node's output."""
    inputs = {name: settings.pop(name) for name in ("model", "scheduler", "steps") if name in settings}
    with torch.inference_mode():
        return nodes["SCEditSchedule"].execute(shape={"shape": shape, **settings}, **inputs)


def core_curve(raw):
    """What core's Curve Editor puts out."""
    if not hasattr(_input, "CurveInput"):
        pytest.skip("this ComfyUI has no Curve Editor, and nothing to connect to the socket")
    return _input.CurveInput.from_raw(raw)


def keyframes(*frames):
    """Core's keyframes of these percents, strengths and guaranteed steps."""
    group = comfy.hooks.HookKeyframeGroup()
    for percent, strength, steps in frames:
        group.add(comfy.hooks.HookKeyframe(strength, percent, steps))
    return group


SHAPES = {
    "constant": ({"strength": 0.5}, "0:0.5, 1:0.5"),
    "fade in": (NUMBERS, "0:0, 1:1"),
    "fade out": ({**NUMBERS, "start": 0.2, "end": 0.8}, "0.2:1, 0.8:0"),
    "bell": (
        {**NUMBERS, "start": 0.5},
        "0.5:0, 0.55:0.0955, 0.6:0.3455, 0.65:0.6545, 0.7:0.9045, 0.75:1, 0.8:0.9045, 0.85:0.6545, "
        "0.9:0.3455, 0.95:0.0955, 1:0",
    ),
    "steps": (
        {**NUMBERS, "end": 0.9, "stairs": 3},
        "0:1, 0.3:1, 0.3:0.5, 0.6:0.5, 0.6:0, 0.9:0",
    ),
    "early only": ({"strength": 1.0, "rest": 0.25, "end": 0.6}, "0:1, 0.6:1, 0.6:0.25"),
    "late only": ({"strength": 1.0, "rest": 0.0, "start": 0.3}, "0.3:0, 0.3:1, 1:1"),
    "own text": ({"text": " 0.2@0, 1=0.5 "}, "0.2@0, 1=0.5"),
    "curve": (
        {"strength": 2.0, "rest": 1.0, "curve": {"points": [[0, 0], [0.5, 1], [1, 0.5]]}},
        "0:1, 0.5:2, 1:1.5",
    ),
    "hook keyframes": (
        {"keyframes": ((0.1, 1.0, 1), (0.5, 0.4, 0), (0.8, 0.0, 0))},
        "0:1, 0.5:1, 0.5:0.4, 0.8:0.4, 0.8:0",
    ),
}


@pytest.mark.parametrize(("shape", "settings", "text"), [(k, *v) for k, v in SHAPES.items()])
def test_each_shape_is_a_text_that_is_shown(nodes, shape, settings, text):
    settings = dict(settings)
    if shape == "curve":
        settings["curve"] = core_curve({**settings["curve"], "interpolation": "linear"})
    if shape == "hook keyframes":
        settings["keyframes"] = keyframes(*settings["keyframes"])
    output = make(nodes, shape, **settings)
    assert output.args == (text,)
    assert output.ui["text"] == (text,)
    assert len(output.ui["images"]) == 1


def test_every_shape_that_is_offered_is_tested(nodes):
    inputs = {one.id: one for one in nodes["SCEditSchedule"].define_schema().inputs}
    shape = inputs["shape"]
    assert {option.key for option in shape.options} == SHAPES.keys()


def test_a_bent_curve_is_followed_closely(nodes, pack):
    curve = core_curve([[0, 0], [0.3, 0.9], [0.7, 0.2], [1, 1]])
    text = make(nodes, "curve", strength=1.0, rest=0.0, curve=curve).args[0]
    read = pack.scedit_core.schedule.read_schedule(text)
    off = max(abs(read.at(k / 500) - curve.interp(k / 500)) for k in range(501))
    assert off < 0.01
    assert len(read.points) < 60


def test_keyframes_and_their_schedule_say_the_same_at_every_step(nodes, pack):
    model, group = tiny_model(), keyframes((0.0, 0.7, 1), (0.25, 1.0, 1), (0.6, 0.2, 0), (0.6, 0.0, 0))
    curve = pack.scedit_core.schedule.read_schedule(make(nodes, "hook keyframes", keyframes=group).args[0])
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "karras", 20)
    places = pack.nodes.schedules.steps.places_of_steps(model, "karras", 20)
    group.initialize_timesteps(model.model)
    for sigma, place in zip(sigmas[:-1], places, strict=True):
        group.prepare_current_keyframe(float(sigma), {"sample_sigmas": sigmas})
        assert group.strength == curve.at(place)


@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
def test_steps_lie_where_the_model_has_their_noise(pack, scheduler):
    model = tiny_model()
    sampling = model.get_model_object("model_sampling")
    places = pack.nodes.schedules.steps.places_of_steps(model, scheduler, 8)
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, 8)[:-1].tolist()
    assert places == sorted(places)
    inside = [(p, s) for p, s in zip(places, sigmas, strict=True) if 0 < p < 1]
    assert len(inside) >= 5
    for place, sigma in inside:
        assert float(sampling.percent_to_sigma(place)) == pytest.approx(sigma, rel=1e-3)


def test_what_no_step_hears_is_said(nodes):
    text = "0:1, 0.3:1, 0.3:0, 0.4:0, 0.4:1, 0.9:1, 0.95:0, 0.97:1"
    output = make(nodes, "own text", text=text, model=tiny_model(), scheduler="simple", steps=4)
    shown, heard, silent = output.ui["text"][0].split("\n")
    assert (shown, heard) == (text, "at the 4 steps: 1, 1, 1, 1")
    assert silent.startswith("no step hears 0.3:0, 0.4:0, 0.95:0: they lie between the steps; take more")
    assert silent.endswith("one of 0, 0.25, 0.501, 0.751")
    many = make(nodes, "own text", text=text, model=tiny_model(), scheduler="simple", steps=100)
    assert "no step hears" not in many.ui["text"][0]


def test_an_empty_text_is_a_schedule_too(nodes):
    assert make(nodes, "own text", text=" ").args == ("",)


BAD = {
    "backwards": ("fade in", {**NUMBERS, "start": 0.8, "end": 0.2}, ["end must be greater", "0.8 and 0.2"]),
    "no length": ("bell", {**NUMBERS, "start": 0.5, "end": 0.5}, ["end must be greater", "early only"]),
    "place beyond": ("late only", {**NUMBERS, "start": 1.5}, ["start is a part", "1.5"]),
    "not finite": ("constant", {"strength": float("nan")}, ["finite number", "nan"]),
    "too strong": ("constant", {"strength": 11.0}, ["-10 to 10", "11"]),
    "one stair": ("steps", {**NUMBERS, "stairs": 1}, ["stairs", "got 1"]),
    "too many stairs": ("steps", {**NUMBERS, "stairs": 65}, ["stairs", "got 65"]),
    "no schedule": ("own text", {"text": "fade in"}, ["'fade in'", "0:0.2, 0.4:1, 0.8:0"]),
    "no shape": ("wave", {}, ["shape is one of", "wave"]),
    "no curve": ("curve", {"strength": 1.0, "rest": 0.0, "curve": None}, ["curve"]),
    "another's curve": ("curve", {"strength": 1.0, "rest": 0.0, "curve": [1]}, ["'Curve Editor'"]),
    "no keyframes": ("hook keyframes", {"keyframes": ()}, ["keyframes", "none"]),
    "held keyframe": ("hook keyframes", {"keyframes": ((0.0, 1.0, 3),)}, ["at least 3", "guarantee_steps"]),
    "strong keyframe": ("hook keyframes", {"keyframes": ((0.0, 20.0, 1),)}, ["-10 to 10", "20"]),
}


@pytest.mark.parametrize(("shape", "settings", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_no_schedule_is_refused_in_a_sentence(nodes, pack, shape, settings, words):
    settings = dict(settings)
    if "keyframes" in settings:
        settings["keyframes"] = keyframes(*settings["keyframes"])
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        make(nodes, shape, **settings)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_a_scheduler_without_noise_levels_is_refused(nodes, pack, monkeypatch):
    monkeypatch.setattr(comfy.samplers, "calculate_sigmas", lambda *_: torch.tensor([float("nan"), 0.0]))
    with pytest.raises(pack.scedit_core.SCEditError, match="'karras' gives no noise levels for 1 steps"):
        make(nodes, "constant", strength=1.0, model=tiny_model(), scheduler="karras", steps=1)
