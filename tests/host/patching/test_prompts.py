"""Controls of a prompt: they steer their prompt alone, in whatever company, and leave nothing behind."""

from __future__ import annotations

from typing import Any, NamedTuple

import comfy.model_base
import comfy.sample
import pytest
import torch
from host_tools import picture, run, sample
from test_neighbours import small_controlnet
from test_training_models import random_model

import nodes as comfy_nodes

Prompt = list[Any]


def prompt(seed: int) -> Prompt:
    """A CONDITIONING of a small model."""
    return [[torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(seed)), {}]]


class Seen(NamedTuple):
    """What a model made of two prompts in each step, and the picture that came of it."""

    positive: list[torch.Tensor]
    negative: list[torch.Tensor]
    picture: torch.Tensor


def see(model: Any, positive: Prompt, negative: Prompt, batch: int = 1, sampler: str = "euler") -> Seen:
    """Sample with two prompts."""
    seen = Seen([], [], torch.empty(0))
    watched = model.clone()

    def watch(told: dict[str, Any]) -> torch.Tensor:
        seen.positive.append(told["cond_denoised"].clone())
        seen.negative.append(told["uncond_denoised"].clone())
        return told["denoised"]

    watched.set_model_sampler_post_cfg_function(watch)
    noise = torch.randn(batch, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        made = comfy.sample.sample(
            watched, noise, 3, 4.0, sampler, "normal", positive, negative, noise * 0,
            disable_pbar=True, seed=1,
        )  # fmt: skip
    return seen._replace(picture=made)


@pytest.fixture
def scope(nodes, control):
    """Gives a prompt a control that follows a picture."""

    def apply(conditioning: Prompt, seed: int = 5, strength: float = 1.0, **how: Any) -> Prompt:
        condition = run(nodes["SCEditCondition"], control=control, image=picture(seed=seed), **how)
        return run(
            nodes["SCEditApplyToPrompt"], conditioning=conditioning, conditions=condition, strength=strength
        )

    return apply


@pytest.fixture
def controlled(nodes, model, control):
    """The model with the control that `scope` gives to a prompt."""
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(seed=5))


def test_a_prompt_is_steered_as_by_the_model_and_another_one_is_the_plain_models(model, controlled, scope):
    scoped, whole, plain = (
        see(model, scope(prompt(1)), prompt(2)),
        see(controlled, prompt(1), prompt(2)),
        see(model, prompt(1), prompt(2)),
    )
    torch.testing.assert_close(scoped.positive[0], whole.positive[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scoped.negative[0], plain.negative[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(scoped.positive[0], plain.positive[0], atol=1e-3)


def test_the_same_control_on_both_prompts_is_the_models_bit_for_bit(model, controlled, nodes, control):
    condition = run(nodes["SCEditCondition"], control=control, image=picture(seed=5))
    whole = see(controlled, prompt(1), prompt(2))

    def steered(conditioning: Prompt) -> Prompt:
        return run(nodes["SCEditApplyToPrompt"], conditioning=conditioning, conditions=condition)

    entries = steered([*prompt(1), *prompt(2)])
    assert torch.equal(see(model, entries[:1], entries[1:]).picture, whole.picture)
    # two nodes are two links: the prompts are computed apart, where the model's control has them together
    apart = see(model, steered(prompt(1)), steered(prompt(2)))
    torch.testing.assert_close(apart.positive[0], whole.positive[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(apart.negative[0], whole.negative[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "how", [{"strength": 0.0}, {"weight": 0.0}, {"mask": torch.zeros(1, 8, 8)}], ids=list
)
def test_a_control_without_effect_leaves_the_picture_bit_for_bit(model, scope, how):
    plain = see(model, prompt(1), prompt(2)).picture
    assert torch.equal(see(model, scope(prompt(1), **how), prompt(2)).picture, plain)


def test_two_prompts_with_controls_of_their_own_each_follow_theirs(model, scope):
    one, other = scope(prompt(1), seed=5), scope(prompt(2), seed=6)
    both = see(model, one, other)
    torch.testing.assert_close(both.positive[0], see(model, one, prompt(3)).positive[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        both.negative[0], see(model, prompt(3), other).negative[0], rtol=1e-4, atol=1e-5
    )


def test_controls_add_up_with_those_of_the_model_and_of_earlier_nodes(nodes, model, control, scope):
    def on_model(base: Any, seed: int) -> Any:
        return run(nodes["SCEditApplyCSCTuner"], model=base, control=control, image=picture(seed=seed))

    whole = see(on_model(on_model(model, 5), 6), prompt(1), prompt(2)).positive[0]
    for mixed in (
        see(on_model(model, 5), scope(prompt(1), seed=6), prompt(2)),
        see(model, scope(scope(prompt(1), seed=5), seed=6), prompt(2)),
    ):
        torch.testing.assert_close(mixed.positive[0], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_controlnet_on_the_same_prompt_acts_too(model, controlled, scope, ours_first):
    net, apply = small_controlnet(), comfy_nodes.ControlNetApplyAdvanced().apply_controlnet

    def with_net(conditioning: Prompt) -> Prompt:
        return apply(conditioning, prompt(2), net, picture(seed=8), 1.0, 0.0, 1.0)[0]

    scoped = with_net(scope(prompt(1))) if ours_first else scope(with_net(prompt(1)))
    torch.testing.assert_close(
        see(model, scoped, prompt(2)).positive[0],
        see(controlled, with_net(prompt(1)), prompt(2)).positive[0],
        rtol=1e-4,
        atol=1e-5,
    )


def test_areas_and_timestep_ranges_of_prompts_stay_theirs(model, scope):
    within, combine = comfy_nodes.ConditioningSetTimestepRange(), comfy_nodes.ConditioningCombine()
    late = within.set_range(scope(prompt(1)), 0.9, 1.0)[0]
    early = within.set_range(prompt(3), 0.0, 0.9)[0]
    both = combine.combine(late, early)[0]
    mixed, plain = see(model, both, prompt(2)), see(model, prompt(3), prompt(2))
    torch.testing.assert_close(mixed.positive[0], plain.positive[0], rtol=1e-4, atol=1e-5)
    half = comfy_nodes.ConditioningSetArea().append(scope(prompt(1)), 64, 128, 0, 0, 1.0)[0]
    mixed = see(model, combine.combine(half, prompt(3))[0], prompt(2))
    # the other half is the other prompt's alone
    torch.testing.assert_close(mixed.positive[0][..., 8:], plain.positive[0][..., 8:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mixed.positive[0][..., :8], plain.positive[0][..., :8], atol=1e-3)


def test_what_a_run_encodes_is_encoded_once_and_gone_at_its_end(model, control, scope):
    calls = []
    handle = control.patcher.model.hint_encoder.register_forward_hook(lambda *_: calls.append(1))
    scoped = scope(prompt(1))
    see(model, scoped, prompt(2))
    handle.remove()
    assert len(calls) == 1
    link = scoped[0][1]["control"]
    assert link._joined is None
    assert link.applied is None


def test_a_cancelled_run_leaves_nothing_with_the_prompt(model, scope):
    class Cancelled(Exception):
        pass

    def cancel(told: dict[str, Any]) -> torch.Tensor:
        raise Cancelled

    scoped, stopped = scope(prompt(1)), model.clone()
    stopped.set_model_sampler_post_cfg_function(cancel)
    with pytest.raises(Cancelled):
        see(stopped, [*scoped, *scoped], prompt(2))
    link = scoped[0][1]["control"]
    assert link._joined is None
    assert link.applied is None
    assert not any(stopped.callbacks.values())


def test_the_model_is_not_changed_and_the_weights_are_loaded_by_the_host(model, control, scope):
    before = sample(model)
    scoped = scope(prompt(1))
    assert control.patcher in scoped[0][1]["control"].get_models()
    first, second = (see(model, scoped, prompt(2)).picture for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(sample(model), before)


def test_a_control_for_another_model_is_told_when_sampling_starts(pack, scope):
    wider = random_model(comfy.model_base.BaseModel, comfy.model_base.ModelType.EPS, model_channels=64)
    with pytest.raises(pack.scedit_core.SCEditError, match=r"was made for .* but this model is"):
        see(wider, scope(prompt(1)), prompt(2))


def tile_of(conditioning: Prompt, columns: slice) -> Prompt:
    """A prompt for a tile, its links cropped as upscalers crop those of ControlNets for a tile."""
    return [[told, {**facts, "control": cropped(facts["control"], columns)}] for told, facts in conditioning]


def cropped(link: Any, columns: slice) -> Any:
    part = link.copy()
    part.cond_hint_original = link.cond_hint_original[..., columns]
    before = link.previous_controlnet
    return part if before is None else part.set_previous_controlnet(cropped(before, columns))


def test_a_tile_of_an_upscaler_sees_its_part_of_hint_and_mask(nodes, model, control, tuner):
    def scoped(columns: slice) -> Prompt:
        mask = torch.arange(128.0).expand(1, 128, 128) / 128
        image, mask = picture(seed=5)[:, :, columns], mask[..., columns]
        style = run(nodes["SCEditStyleCondition"], tuner=tuner)
        steered = run(nodes["SCEditCondition"], control=control, image=image, mask=mask)
        bundle = run(
            nodes["SCEditComposeConditions"], conditions={"condition0": style, "condition1": steered}
        )
        return run(nodes["SCEditApplyToPrompt"], conditioning=prompt(1), conditions=bundle, strength=1.0)

    whole, left = slice(0, 128), slice(0, 64)
    tile = see(model, tile_of(scoped(whole), left), prompt(2)).picture
    assert torch.equal(tile, see(model, scoped(left), prompt(2)).picture)
    again = scoped(whole)
    assert torch.equal(
        see(model, tile_of(again, whole), prompt(2)).picture, see(model, again, prompt(2)).picture
    )
    assert not torch.allclose(tile, see(model, again, prompt(2)).picture, atol=1e-3)
