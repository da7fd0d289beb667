"""Strength over the denoising, over latents and prompts, in a real sampling run."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy_extras.nodes_model_advanced as model_advanced
import pytest
import torch
from host_tools import picture, run, sample


@pytest.fixture
def steered(nodes, model, control):
    """The MODEL steered with these inputs of Apply CSC-Tuner."""

    def steer(model: Any = model, **inputs: Any) -> Any:
        return run(
            nodes["SCEditApplyCSCTuner"], model=model, control=control, **{"image": picture(), **inputs}
        )

    return steer


@pytest.mark.parametrize(
    ("window", "schedule"),
    [
        ({}, ""),
        ({}, "0:1"),
        ({"end_percent": 0.5}, "0:1, 0.5:1, 0.5:0"),
        ({"start_percent": 0.3}, "0.3:0, 0.3:1"),
        ({"start_percent": 0.2, "end_percent": 0.6}, "0:0, 0.2:0, 0.2:1, 0.6:1, 0.6:0, 1:0"),
        ({"strength": 0.5}, "0:0.5, 1:0.5"),
    ],
)
def test_a_schedule_and_a_window_that_say_the_same_give_the_same_picture(steered, window, schedule):
    assert torch.equal(sample(steered(**window), steps=6), sample(steered(schedule=schedule), steps=6))


def test_a_schedule_of_zero_is_the_base_model(model, steered):
    assert torch.equal(sample(steered(schedule="0:0, 1:0")), sample(model))


def test_a_fade_lies_between_all_and_nothing(model, steered):
    """With more strength later in the denoising the picture moves further from the base model's."""
    base = sample(model, steps=6)
    fades = ("0:0", "0:0.2, 1:0", "0:0.4, 1:0", "0:0.4, 1:0.4")
    distances = [float((sample(steered(schedule=fade), steps=6) - base).norm()) for fade in fades]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert len(set(distances)) == len(fades)


def test_schedules_of_conditions_and_of_all_are_multiplied(nodes, model, control, steered):
    condition = run(nodes["SCEditCondition"], control=control, image=picture(), schedule="0:1, 1:0")
    apply = nodes["SCEditApplyConditions"]
    both = run(apply, model=model, conditions=condition, schedule="0:0.5, 1:0.5")
    assert torch.allclose(sample(both), sample(steered(schedule="0:0.5, 1:0")), atol=1e-5)
    prompts_own = run(apply, model=model, conditions=condition)
    assert torch.equal(sample(prompts_own), sample(steered(schedule="0:1, 1:0")))


def test_noise_levels_are_those_of_the_sampling_that_a_run_begins_with(model, steered):
    """A node that changes the sampling may come before ours or after it."""
    change = model_advanced.ModelSamplingDiscrete().patch
    how = {"end_percent": 0.4, "schedule": "0:1, 0.3:0.2"}
    before = steered(change(model, "lcm", True)[0], **how)
    after = change(steered(**how), "lcm", True)[0]
    assert torch.equal(sample(before, steps=6), sample(after, steps=6))
    shifted = model_advanced.ModelSamplingContinuousEDM().patch
    late = shifted(steered(**how), "eps", 40.0, 0.01)[0]
    early = steered(shifted(model, "eps", 40.0, 0.01)[0], **how)
    assert torch.equal(sample(late, steps=6), sample(early, steps=6))
    # the same edit on another sampling acts at other levels
    assert not torch.equal(sample(late, steps=6), sample(shifted(model, "eps", 40.0, 0.01)[0], steps=6))


def sampled(model: Any, prompts: Any) -> torch.Tensor:
    """Latents sampled with these two prompts."""
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, 4, 4.0, "euler", "normal", *prompts, noise * 0, disable_pbar=True, seed=1
        )


def test_a_prompts_control_follows_the_same_schedule_as_the_models(nodes, model, control):
    condition = run(nodes["SCEditCondition"], control=control, image=picture(), schedule="0:1, 0.5:0")
    generator = torch.Generator().manual_seed(1)
    prompts = [[[torch.randn(1, 7, 32, generator=generator), {}]] for _ in range(2)]
    how = {"conditions": condition, "schedule": "0:0.5"}
    scoped = [run(nodes["SCEditApplyToPrompt"], conditioning=prompt, **how) for prompt in prompts]
    whole = run(nodes["SCEditApplyConditions"], model=model, **how)
    made, wanted, base = (sampled(*each) for each in ((model, scoped), (whole, prompts), (model, prompts)))
    # prompts with controls of their own are computed one by one: rounding, which grows with the steps
    assert (made - wanted).norm() < 0.002 * (wanted - base).norm()


def with_factors(pack, model, control, **factors: Any) -> Any:
    """The MODEL with a control whose strength is multiplied with these factors."""
    patching, make = pack.nodes.patching, pack.scedit_core.strength.Factors
    condition = patching.conditions.Condition(control, picture(), 0.6, factors=make(**factors))
    return patching.patch.install(model, [condition])


def test_latents_of_one_run_are_those_of_runs_with_their_strengths(pack, model, control):
    """Each latent of a batch takes its own strength, as if each were sampled with it."""
    curve = pack.scedit_core.curve.Curve
    travel = with_factors(pack, model, control, batch=[curve(((0.0, 0.0), (1.0, 1.0)))])
    together = sample(travel, batch=3)
    for number, factor in enumerate((0.0, 0.5, 1.0)):
        single = with_factors(pack, model, control, latents=[curve(((0.0, factor),))])
        assert torch.equal(together[number], sample(single, batch=3)[number])


def test_a_negative_prompt_without_the_control_is_the_base_models(pack, model, control):
    both, one = (with_factors(pack, model, control, prompts=p) for p in ((1, 1), (1, 0)))
    assert not torch.equal(sample(both), sample(one))
    none = with_factors(pack, model, control, prompts=(0, 0))
    assert torch.equal(sample(none), sample(model))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [("fade in", "written like"), ("0:1, 2:0", "from 0 to 1"), ("0.5:1, 0.2:0", "in order")],
)
@pytest.mark.parametrize("node", ["SCEditApplyCSCTuner", "SCEditCondition"])
def test_a_misspelt_schedule_is_refused_at_once(nodes, pack, model, control, node, schedule, words):
    inputs = {"model": model} if node == "SCEditApplyCSCTuner" else {}
    with pytest.raises(pack.scedit_core.SCEditError, match=words):
        run(nodes[node], control=control, image=picture(), schedule=schedule, **inputs)
