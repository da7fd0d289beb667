"""Travelling from one condition to another, and styles among conditions."""

import comfy.sample
import pytest
import torch
from host_tools import picture, run, sample

COUNT = 7


@pytest.fixture
def conditions(nodes, control, other_control):
    """Two controls, each with a hint of its own."""
    node = nodes["SCEditCondition"]
    return (
        run(node, control=control, image=picture(seed=1), weight=0.8),
        run(node, control=other_control, image=picture(seed=2)),
    )


@pytest.fixture
def steered(nodes, model):
    """Latents of a MODEL with a bundle."""

    def sampled(bundle, batch=1):
        return sample(run(nodes["SCEditApplyConditions"], model=model, conditions=bundle), batch=batch)

    return sampled


def test_the_ends_of_the_way_are_the_conditions_alone(nodes, conditions, steered):
    first, second = conditions
    blend = nodes["SCEditBlendConditions"]
    assert torch.equal(steered(run(blend, first=first, second=second, blend=0.0)), steered(first))
    assert torch.equal(steered(run(blend, first=first, second=second, blend=1.0)), steered(second))


def test_a_strip_in_one_run_is_the_single_runs_bit_for_bit(nodes, conditions, steered):
    first, second = conditions
    blend = nodes["SCEditBlendConditions"]
    strip = steered(run(blend, first=first, second=second, across_batch=True), COUNT)
    for number in range(COUNT):
        single = run(blend, first=first, second=second, blend=number / (COUNT - 1))
        assert torch.equal(strip[number], steered(single, COUNT)[number])


def test_from_a_control_to_the_plain_model(nodes, model, conditions, steered):
    strip = steered(run(nodes["SCEditBlendConditions"], first=conditions[0], across_batch=True), 3)
    assert torch.equal(strip[0], steered(conditions[0], 3)[0])
    assert torch.equal(strip[2], sample(model, batch=3)[2])


def test_a_latent_alone_is_at_the_begin(nodes, conditions, steered):
    first, second = conditions
    strip = run(nodes["SCEditBlendConditions"], first=first, second=second, across_batch=True)
    assert torch.equal(steered(strip), steered(first))


def test_a_style_among_conditions_is_the_style_by_itself(nodes, model, tuner, conditions, steered):
    style = run(nodes["SCEditStyleCondition"], tuner=tuner, weight=0.7)
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, strength=0.7)
    assert torch.equal(steered(style), sample(styled))
    both = run(
        nodes["SCEditComposeConditions"], conditions={"condition0": style, "condition1": conditions[0]}
    )
    one_by_one = run(nodes["SCEditApplyConditions"], model=styled, conditions=conditions[0])
    assert torch.equal(steered(both), sample(one_by_one))


def test_styles_blend_in_the_order_of_the_bundle(nodes, tuner, steered):
    style = run(nodes["SCEditStyleCondition"], tuner=tuner)
    half = run(nodes["SCEditBlendConditions"], first=style, second=style, blend=0.5)
    once = run(nodes["SCEditStyleCondition"], tuner=tuner, weight=0.5)
    twice = run(nodes["SCEditComposeConditions"], conditions={"condition0": once, "condition1": once})
    assert torch.equal(steered(half), steered(twice))


def test_a_prompt_may_have_a_style_of_its_own(nodes, model, tuner):
    style = run(nodes["SCEditStyleCondition"], tuner=tuner)
    generator = torch.Generator().manual_seed(1)
    prompts = [[[torch.randn(1, 7, 32, generator=generator), {}]] for _ in range(2)]
    styled = run(nodes["SCEditApplyToPrompt"], conditioning=prompts[0], conditions=style)
    noise = torch.randn(1, 4, 16, 16, generator=generator)

    def sampled(positive):
        with torch.inference_mode():
            return comfy.sample.sample(
                model, noise, 2, 4.0, "euler", "normal", positive, prompts[1], noise * 0, seed=1,
                disable_pbar=True,
            )  # fmt: skip

    assert not torch.equal(sampled(styled), sampled(prompts[0]))


def test_nothing_to_blend_is_told(nodes, pack):
    with pytest.raises(pack.scedit_core.SCEditError, match="connect a 'Condition' to first, second or both"):
        run(nodes["SCEditBlendConditions"])
