"""Teachers that follow hints: ControlNets and tuners on a prompt, each with the hints of the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from host_tools import picture, run
from test_neighbours import small_controlnet
from training_node_tools import CSC, SC, cancelled_at, equal, hints, lists, train

import nodes as comfy_nodes

pytestmark = pytest.mark.usefixtures("output")
STATIC = pytest.mark.parametrize("host_mode", ["static"], indirect=True)
BOTH_MODES = pytest.mark.parametrize("host_mode", ["static", "dynamic"], indirect=True)
PROMPT = [[torch.zeros(1, 7, 32), {}]]


def by_net(net: Any, strength: float = 1.0, end: float = 1.0, prompt: Any = PROMPT) -> list[Any]:
    """A prompt with a ControlNet, whose own picture is to be replaced."""
    with torch.inference_mode():
        apply = comfy_nodes.ControlNetApplyAdvanced().apply_controlnet
        return apply(prompt, prompt, net, picture(seed=99), strength, 0.0, end)[0]


def by_tuner(nodes: Any, control: Any, prompt: Any = PROMPT, **how: Any) -> list[Any]:
    """A prompt with a tuner of ours, whose own picture is to be replaced."""
    condition = run(nodes["SCEditCondition"], control=control, image=picture(seed=99), **how)
    return run(nodes["SCEditApplyToPrompt"], conditioning=prompt, conditions=condition)


def styled(nodes: Any, tuner: Any, prompt: Any = PROMPT) -> list[Any]:
    """A prompt with a style of ours."""
    condition = run(nodes["SCEditStyleCondition"], tuner=tuner)
    return run(nodes["SCEditApplyToPrompt"], conditioning=prompt, conditions=condition)


@pytest.fixture(scope="module")
def net() -> Any:
    return small_controlnet()


def taught(csc: Any, model: Any, positive: Any, **more: Any) -> Any:
    """A control after a step of teaching, with the loss that it began with."""
    changes = {name: more.pop(name) for name in list(more) if name not in ("control", "hints", "teacher")}
    data = lists(model) | {"hints": {"hint0": hints()}, "teacher_positive": [positive]} | more
    trained, *_ = train(csc, data, CSC, **({"steps": 1, "when_state_exists": "start over"} | changes))
    return trained


def loss(trained: Any) -> float:
    return float(trained.metadata["scedit.train.loss"])


@STATIC
def test_a_student_that_is_the_teachers_tuner_has_nothing_to_learn(csc, nodes, model, control):
    assert loss(taught(csc, model, by_tuner(nodes, control), control=[control])) < 1e-9
    assert loss(taught(csc, model, by_tuner(nodes, control))) > 1e-6


@BOTH_MODES
@pytest.mark.parametrize("kind", ["net", "tuner"])
def test_the_teacher_follows_the_hints_of_the_batch_and_not_its_own(csc, nodes, model, control, net, kind):
    positive = by_net(net) if kind == "net" else by_tuner(nodes, control)
    same = loss(taught(csc, model, positive))
    inverted = [1 - hint for hint in hints()]
    # black and white change places for the teacher alone; the student, new, does nothing with its hint yet
    turned = loss(taught(csc, model, positive, teacher_hint="inverted"))
    assert turned != same
    assert turned == pytest.approx(loss(taught(csc, model, positive, hints={"hint0": inverted})), rel=1e-6)
    own = positive[0][1]["control"]
    assert torch.equal(own.cond_hint_original, picture(seed=99).movedim(-1, 1))
    assert own.cond_hint is None


@STATIC
def test_links_of_both_kinds_take_the_hints_of_their_numbers(csc, nodes, model, control, tuner, net):
    two = {"hint0": hints(), "hint1": [1 - hint for hint in hints()]}
    alone = by_tuner(nodes, control)
    both = by_net(net, prompt=styled(nodes, tuner, alone))
    figures = {
        loss(taught(csc, model, both, hints=two)),
        loss(taught(csc, model, both, hints=dict(zip(two, list(two.values())[::-1], strict=True)))),
    }
    assert len(figures) == 2
    with pytest.raises(ValueError, match="has 1 controls that follow a hint, and the pictures bring 2"):
        taught(csc, model, alone, hints=two)


@STATIC
def test_a_style_may_be_taught_by_a_prompts_style_but_not_by_a_control(sc, nodes, model, tuner, control):
    data = lists(model) | {"teacher_positive": [styled(nodes, tuner)], "tuner": [tuner]}
    trained, *_ = train(sc, data, SC, steps=1, name="style")
    assert loss(trained) < 1e-9
    with pytest.raises(ValueError, match="has 1 controls that follow a hint, and the pictures bring 0"):
        train(sc, data | {"teacher_positive": [by_tuner(nodes, control)]}, SC, steps=1, name="none")


@STATIC
@pytest.mark.parametrize("how", ["net", "tuner"])
def test_a_window_acts_on_each_picture_by_its_own_noise(csc, nodes, model, control, net, how):
    def of(positive: Any, seed: int, size: int) -> float:
        return loss(taught(csc, model, positive, batch_size=size, seed=seed))

    windowed, whole = (
        by_net(net, end=end) if how == "net" else by_tuner(nodes, control, end_percent=end)
        for end in (0.5, 1.0)
    )
    assert of(windowed, 0, 4) != of(whole, 0, 4)


@STATIC
@pytest.mark.parametrize("kind", ["net", "tuner"])
def test_a_cancelled_teaching_goes_on_to_the_same_control(csc, nodes, model, control, net, kind):
    positive = by_net(net, 0.8) if kind == "net" else by_tuner(nodes, control)
    data = lists(model) | {"hints": {"hint0": hints(drawings=2)}, "teacher_positive": [positive]}
    straight, *_ = train(csc, data, CSC, name="straight", steps=2)
    cancelled_at(2, csc, data, CSC, name="broken", steps=2)
    assert equal(train(csc, data, CSC, name="broken", steps=2)[0], straight)


@STATIC
def test_other_controls_are_another_teacher(csc, nodes, model, control, net):
    data = lists(model) | {"hints": {"hint0": hints()}}
    train(csc, data | {"teacher_positive": [by_net(net)]}, CSC, steps=1)
    others = {
        "stronger": by_net(net, 0.9),
        "other windows": by_net(net, end=0.9),
        "tuner": by_tuner(nodes, control),
    }
    for other in others.values():
        with pytest.raises(ValueError, match="the teacher's controls are others"):
            train(csc, data | {"teacher_positive": [other]}, CSC)
    with pytest.raises(ValueError, match="the teacher's controls are others"):
        train(csc, data | {"teacher_positive": [by_net(net)], "teacher_hint": ["inverted"]}, CSC)
    # the picture that came with it is replaced, so another one is no other teacher
    moved = by_net(net)
    moved[0][1]["control"].cond_hint_original = picture(seed=1).movedim(-1, 1)
    assert train(csc, data | {"teacher_positive": [moved]}, CSC, steps=1)[2] == 1
