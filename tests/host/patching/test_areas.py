"""Prompts with areas: each follows its own part of the hint, not the whole of it squeezed into the area."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from host_tools import picture, run
from test_prompts import prompt, scope, see  # noqa: F401 - a fixture

import nodes as comfy_nodes

LEFT, RIGHT = (16, 8, 0, 0), (16, 8, 0, 8)  # height, width, top and left, of a latent of 16 x 16


def within(area: tuple[int, ...], seed: int) -> list[Any]:
    """A CONDITIONING for a part of the picture, by the host's node, which counts in pixels."""
    height, width, top, left = (8 * side for side in area)
    return comfy_nodes.ConditioningSetArea().append(prompt(seed), width, height, left, top, 1.0)[0]


def by_percentage(seed: int) -> list[Any]:
    """The right half, in parts of the picture."""
    return comfy_nodes.ConditioningSetAreaPercentage().append(prompt(seed), 0.5, 1.0, 0.5, 0.0, 1.0)[0]


def by_mask_bounds(seed: int) -> list[Any]:
    """The right half, as what a mask encloses."""
    mask = torch.zeros(1, 128, 128)
    mask[..., 64:] = 1.0
    return comfy_nodes.ConditioningSetMask().append(prompt(seed), mask, "mask bounds", 1.0)[0]


@pytest.fixture
def steered(nodes, model, control):
    """Gives the model a control that follows a picture."""

    def apply(image: torch.Tensor, **how: Any) -> Any:
        return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=image, **how)

    return apply


def halves(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The left half of one picture beside the right half of another."""
    middle = first.shape[2] // 2
    return torch.cat([first[:, :, :middle], second[:, :, middle:]], dim=2)


def test_two_areas_side_by_side_each_follow_their_half(steered):
    """What one half of the hint shows changes nothing in the other half's area."""
    one, other = picture(seed=1), picture(seed=2)
    both = [*within(LEFT, 1), *within(RIGHT, 2)]
    mixed = see(steered(halves(one, other)), both, prompt(3)).positive[0]
    left = see(steered(one), both, prompt(3)).positive[0]
    right = see(steered(other), both, prompt(3)).positive[0]
    torch.testing.assert_close(mixed[..., :8], left[..., :8], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[..., 8:], right[..., 8:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mixed[..., 8:], left[..., 8:], atol=1e-3)


@pytest.mark.parametrize("set_area", [by_percentage, by_mask_bounds], ids=lambda f: f.__name__)
def test_areas_by_percentage_and_by_the_bounds_of_a_mask_see_their_part(steered, set_area):
    one, other = picture(seed=1), picture(seed=2)
    both = [*within(LEFT, 1), *set_area(2)]
    mixed, whole = (see(steered(image), both, prompt(3)) for image in (halves(one, other), other))
    torch.testing.assert_close(mixed.positive[0][..., 8:], whole.positive[0][..., 8:], rtol=1e-4, atol=1e-5)


def test_an_area_sees_its_part_of_the_hint_as_a_picture_of_that_size_does(steered, nodes, model, control):
    """The U-Net of an area is that of a small latent: it is given the same hint."""
    image = picture(128, 128, seed=1)
    area = see(steered(image), within(LEFT, 1), prompt(3)).positive[0][..., :8]
    squeezed = see(steered(image[:, :, :64]), within((16, 8, 0, 0), 1), prompt(3)).positive[0][..., :8]
    assert area.isfinite().all()
    assert not torch.allclose(area, squeezed, atol=1e-3)


@pytest.mark.parametrize("batch", [1, 3])
def test_masks_and_hints_of_a_batch_keep_their_latents_in_areas(steered, batch):
    images = torch.cat([picture(seed=n) for n in range(batch)])
    masks = torch.stack([torch.full((8, 8), n + 1.0) / batch for n in range(batch)])
    both = [*within(LEFT, 1), *within(RIGHT, 2)]
    together = see(steered(images, mask=masks), both, prompt(3), batch=batch).positive[0]
    for n in range(batch):
        # the same hint and mask for all latents: latent n is then what it is in the batch of different ones
        alone = see(steered(images[n : n + 1], mask=masks[n : n + 1]), both, prompt(3), batch=batch).positive[
            0
        ]
        torch.testing.assert_close(together[n], alone[n], rtol=1e-4, atol=1e-5)


def test_a_mask_acts_on_its_part_of_the_picture(steered, model):
    mask = torch.zeros(1, 128, 128)
    mask[..., 64:] = 1.0
    both = [*within(LEFT, 1), *within(RIGHT, 2)]
    masked = see(steered(picture(seed=1), mask=mask), both, prompt(3)).positive[0]
    plain = see(model, both, prompt(3)).positive[0]
    torch.testing.assert_close(masked[..., :8], plain[..., :8], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(masked[..., 8:], plain[..., 8:], atol=1e-3)


def test_a_hint_is_encoded_once_for_each_area(steered, control):
    calls = []
    handle = control.patcher.model.hint_encoder.register_forward_hook(lambda *_: calls.append(1))
    see(steered(picture(seed=1)), [*within(LEFT, 1), *within(RIGHT, 2)], prompt(3))
    handle.remove()
    assert len(calls) == 3  # left, right, and the whole for the prompt without an area


def test_an_area_that_reaches_beyond_the_picture_is_cut_as_the_host_cuts_it(steered):
    wide = see(steered(picture(seed=1)), within((64, 64, 8, 8), 1), prompt(3)).positive[0]
    exact = see(steered(picture(seed=1)), within((8, 8, 8, 8), 1), prompt(3)).positive[0]
    assert torch.equal(wide, exact)


def test_the_hint_of_a_prompt_covers_its_area_whatever_the_model_has(nodes, model, tuner, scope):  # noqa: F811
    never = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, start_percent=1.0, end_percent=1.0)
    both = [*scope(within(LEFT, 1)), *within(RIGHT, 2)]
    alone, beside = (see(base, both, prompt(3)).positive[0] for base in (model, never))
    assert torch.equal(alone, beside)
