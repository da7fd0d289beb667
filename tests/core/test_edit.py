"""Edits of a skip against a second, plain writing of the formulas."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from plain_edits import CLOSE, adapter, control, control_delta, edited, feature, random, skip_of, style

from scedit_core import PreparedEdit, SCEditError, SkipEdit, edit_skip, prepare_edit
from scedit_core.hint import cover


@torch.inference_mode()
@pytest.mark.parametrize("block", range(6))
def test_a_control_adds_hint_and_adapter(block):
    x, a = skip_of(block, batch=2), control(strength=0.7)
    wanted = x + 0.7 * control_delta(a, block, x)
    assert (edited(x, block, a) - wanted).abs().max() < CLOSE


@torch.inference_mode()
def test_sc_tuners_act_one_on_the_others_result():
    x, first, second = skip_of(1), style(1, 0.6), style(2, 1.3)
    u = x + 0.6 * adapter(first, 1, x)
    wanted = u + 1.3 * adapter(second, 1, u)
    assert (edited(x, 1, first, second) - wanted).abs().max() < CLOSE
    assert (edited(x, 1, second, first) - wanted).abs().max() > 0.01


@torch.inference_mode()
def test_controls_read_the_unedited_skip_also_beside_sc_tuners():
    x, s1, s2, a, b = skip_of(2), style(1, 0.6), style(2, 1.3), control(3, 0.4), control(4, -0.5)
    u = x + 0.6 * adapter(s1, 2, x)
    u = u + 1.3 * adapter(s2, 2, u)
    wanted = x + (u - x) + 0.4 * control_delta(a, 2, x) - 0.5 * control_delta(b, 2, x)
    for order in ((s1, s2, a, b), (a, b, s1, s2), (b, s1, a, s2)):
        assert (edited(x, 2, *order) - wanted).abs().max() < CLOSE


@torch.inference_mode()
def test_two_controls_commute():
    x, a, b = skip_of(3), control(3, 0.4), control(4, 0.6)
    assert (edited(x, 3, a, b) - edited(x, 3, b, a)).abs().max() < CLOSE


@torch.inference_mode()
@pytest.mark.parametrize("make", [style, control])
@pytest.mark.parametrize("strength", [0.3, 1.0, 1.7, -1.0])
def test_an_edit_is_linear_in_its_strength(make, strength):
    x = skip_of(0)
    whole = edited(x, 0, make()) - x
    assert whole.abs().max() > 0.1
    assert (edited(x, 0, make(strength=strength)) - x - strength * whole).abs().max() < CLOSE


def test_strength_zero_and_empty_masks_are_silent():
    mask = torch.zeros(2, 1, 64, 64)
    assert style(strength=0.0).is_silent
    assert control(strength=0).is_silent
    assert style(mask=mask).is_silent
    mask[1, 0, 5, 7] = 0.01
    assert not style(mask=mask).is_silent
    assert not control(strength=-1e-6).is_silent


@torch.inference_mode()
def test_a_skip_that_nothing_touches_is_handed_back_itself():
    x = skip_of(4)
    assert edit_skip(x, 4, []) is x
    assert edited(x, 4, style(1), style(2)) is x
    assert edited(x, 4, style(1), control()) is not x


@torch.inference_mode()
@pytest.mark.parametrize("make", [style, control])
def test_a_mask_confines_an_edit_to_its_half(make):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1
    x = skip_of(3)
    confined, everywhere = edited(x, 3, make(mask=mask)), edited(x, 3, make())
    assert torch.equal(confined[..., :2], x[..., :2])
    assert torch.equal(confined[..., 2:], everywhere[..., 2:])


@torch.inference_mode()
def test_a_grey_mask_weakens_an_edit():
    x = skip_of(5)
    grey, fine = torch.full((1, 1, 64, 64), 0.25), torch.zeros(1, 1, 64, 64)
    fine[..., ::4] = 1  # stripes finer than a pixel of the latent count by their share
    for mask in (grey, fine):
        assert (edited(x, 5, style(mask=mask)) - edited(x, 5, style(strength=0.25))).abs().max() < CLOSE


@torch.inference_mode()
def test_hints_and_masks_of_any_size_are_made_to_cover_the_latent():
    hint, mask, tuners = random(1, 3, 50, 90), random(1, 1, 99, 30), control().tuners
    free = SkipEdit(tuners, hint=hint, mask=mask)
    fitted = SkipEdit(tuners, hint=cover(hint, 64, 64), mask=cover(mask, 64, 64))
    assert torch.equal(edited(skip_of(2), 2, free), edited(skip_of(2), 2, fitted))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("given", "latents", "picked"),
    [
        (1, [0, 1, 0, 1], [0, 0, 0, 0]),
        (2, [0, 1, 0, 1], [0, 1, 0, 1]),  # each its own, in both chunks (cond, uncond)
        (3, [0, 1, 0, 1], [0, 1, 0, 1]),  # one too many: the last is cut
        (2, [0, 1, 2, 0, 1, 2], [0, 1, 0, 0, 1, 0]),  # one too few: the first repeats
        (3, [1, 2], [1, 2]),  # a context window that begins at the second latent
    ],
)
@pytest.mark.parametrize("what", ["hint", "mask"])
def test_each_latent_has_its_own_hint_and_mask_in_every_chunk(what, given, latents, picked):
    if what == "hint":
        whole = control(hints=given)
        alone = [SkipEdit(whole.tuners, hint=hint[None]) for hint in whole.hint]
    else:
        masks = random(given, 1, 64, 64, seed=5).round()
        whole = style(mask=masks)
        alone = [SkipEdit(whole.tuners, mask=mask[None]) for mask in masks]
    x = skip_of(1, batch=len(latents))
    together = edited(x, 1, whole, latents=torch.tensor(latents))
    for row, one in enumerate(picked):
        wanted = edited(x[row : row + 1], 1, alone[one])[0]
        assert (together[row] - wanted).abs().max() < CLOSE


@torch.inference_mode()
def test_without_latent_numbers_each_row_takes_its_own_hint():
    rows = torch.arange(2)
    skip, edit = skip_of(1, batch=2), control(hints=2)
    assert torch.equal(edited(skip, 1, edit), edited(skip, 1, edit, latents=rows))


@torch.inference_mode()
def test_more_hints_than_rows_need_to_know_the_latent_of_each_row():
    with pytest.raises(SCEditError, match="2 hints or masks were given, but not which latent"):
        edited(skip_of(1, batch=3), 1, control(hints=2))


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(17, 23), (16, 24), (1, 3)])
def test_features_of_odd_latents_have_the_rounded_up_sizes_of_the_skips(height, width):
    prepared = prepare_edit(control(), height, width, torch.zeros(1, dtype=torch.float64))
    half = ((height + 1) // 2, (width + 1) // 2)
    quarter = ((half[0] + 1) // 2, (half[1] + 1) // 2)
    wanted = [quarter, quarter, half, half, (height, width), (height, width)]
    assert [tuple(f.shape[-2:]) for f in prepared.features] == wanted


@torch.inference_mode()
def test_features_and_masks_follow_a_skip_of_another_size():
    a = control(mask=torch.ones(1, 1, 64, 64))
    prepared = prepare_edit(a, 8, 8, torch.zeros(1, dtype=torch.float64))
    x = random(1, 8, 5, 7)
    hint = F.interpolate(feature(a, 5), size=(5, 7), mode="bilinear")
    wanted = x + hint + adapter(a, 5, x + hint)
    assert (edit_skip(x, 5, [prepared]) - wanted).abs().max() < CLOSE


@torch.inference_mode()
def test_no_input_is_changed():
    masks = random(2, 1, 64, 64, seed=7)
    edits = [style(mask=masks), control(hints=2, mask=masks)]
    x, latents = skip_of(1, batch=2), torch.tensor([0, 1])
    prepared = [prepare_edit(edit, 8, 8, x) for edit in edits]
    inputs = [x, latents, masks, edits[1].hint, prepared[1].mask, *prepared[1].features]
    before = [tensor.clone() for tensor in inputs]
    edit_skip(x, 1, prepared, latents)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(inputs, before, strict=True))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_an_edit_keeps_the_dtype_of_the_skip(dtype):
    x, mask = skip_of(1), torch.ones(1, 1, 64, 64)
    wanted = edited(x, 1, style(mask=mask), control(strength=0.7))
    edits = [style(mask=mask), control(strength=0.7)]
    for edit in edits:
        edit.tuners.to(dtype)
    result = edited(x.to(dtype), 1, *edits)
    assert result.dtype == dtype
    # some ten layers, each rounding values of order 1
    assert (result.double() - wanted).abs().max() < 30 * torch.finfo(dtype).eps


@pytest.mark.parametrize(
    ("start", "end", "acting", "resting"),
    [
        (math.inf, 0.0, [0.0, 0.03, 14.6, 500.0], []),
        (10.0, 0.0, [10.0, 0.0], [10.1, 14.6]),
        (math.inf, 2.0, [2.0, 14.6], [1.9, 0.0]),
        (10.0, 2.0, [10.0, 5.0, 2.0], [14.6, 0.5]),
    ],
)
def test_an_edit_acts_between_its_noise_levels(start, end, acting, resting):
    edit = style(sigma_start=start, sigma_end=end)
    assert all(edit.acts_at(sigma) for sigma in acting)
    assert not any(edit.acts_at(sigma) for sigma in resting)
    assert edit.is_always_on == (not resting)


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf, 1e308, -10001.0])
def test_a_strength_beyond_what_a_skip_can_take_is_refused(strength):
    message = f"strength must be a number from -10000 to 10000, got {strength}"
    with pytest.raises(SCEditError, match=re.escape(message)):
        style(strength=strength)


def test_a_control_needs_a_hint_and_a_style_takes_none():
    with pytest.raises(SCEditError, match="CSCTunerSet without a hint"):
        SkipEdit(control().tuners)
    with pytest.raises(SCEditError, match="SCTunerSet with a hint"):
        style(hint=random(1, 3, 64, 64))


def test_a_control_that_was_not_prepared_is_refused():
    with pytest.raises(SCEditError, match="has to be prepared with its hint"):
        edit_skip(skip_of(1), 1, [PreparedEdit(control(), None, None)])
