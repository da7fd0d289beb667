"""Factors of a strength: over noise levels, for latents, prompts and output blocks, and features folded."""

import pytest
import torch
from plain_edits import CLOSE, LAYOUT, control, control_delta, edited, skip_of, style

from scedit_core import prepare_edit
from scedit_core.curve import Curve
from scedit_core.edit import PreparedEdit, edit_skip, strengths_like
from scedit_core.strength import Factors, Rows

ROWS = Rows([0, 1, 2, 0, 1, 2], 3, [0, 0, 0, 1, 1, 1])
FADE = Curve(((0.0, 0.0), (2.0, 1.0)))


def at_rows(edit, block, sigma=1.0):
    """A skip of six rows after the edit."""
    x = skip_of(block).repeat(6, 1, 1, 1)
    ready = prepare_edit(edit, 8, 8, x)
    strengths = strengths_like(edit.strengths(sigma, ROWS), x)
    ready = PreparedEdit(edit, ready.features, ready.mask, strengths, is_folded=True)
    return edit_skip(x, block, [ready], torch.tensor(ROWS.latents))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("factors", "wanted"),
    [
        (Factors(), [1, 1, 1, 1, 1, 1]),
        (Factors(levels=[FADE]), [0.5] * 6),
        (Factors(levels=[FADE, FADE]), [0.25] * 6),
        (Factors(latents=[FADE]), [0, 0.5, 1, 0, 0.5, 1]),
        (Factors(batch=[Curve(((0.0, 1.0), (1.0, 0.0)))]), [1, 0.5, 0, 1, 0.5, 0]),
        (Factors(prompts=(1, 0)), [1, 1, 1, 0, 0, 0]),
        (Factors(prompts=(0.5, 2), latents=[FADE]), [0, 0.25, 0.5, 0, 1, 2]),
        (Factors(blocks={3: 0.5}), [0.5] * 6),
        (Factors(blocks={2: 0.5}), [1] * 6),
        (Factors(blocks={3: 0}), [0] * 6),
    ],
)
def test_each_row_has_the_strength_of_its_latent_prompt_level_and_block(factors, wanted):
    edit = control(strength=0.7, factors=factors)
    x = skip_of(3)
    delta = 0.7 * control_delta(edit, 3, x)
    for row, factor in zip(at_rows(edit, 3), wanted, strict=True):
        assert (row - (x + factor * delta)[0]).abs().max() < CLOSE
        if factor == 0:
            assert torch.equal(row, x[0])


@torch.inference_mode()
def test_a_block_that_is_switched_off_is_handed_on_itself():
    x = skip_of(3)
    assert edited(x, 3, style(factors=Factors(blocks={3: 0}))) is x


@pytest.mark.parametrize(
    "factors",
    [
        Factors(levels=[Curve(((0.0, 0.0),))]),
        Factors(latents=[Curve(((0.0, 0.0),)), FADE]),
        Factors(prompts=(0, 0)),
        Factors(blocks=dict.fromkeys(range(6), 0.0)),
    ],
)
def test_an_edit_of_which_nothing_is_left_is_silent(factors):
    assert style(factors=factors).is_silent
    assert not style().is_silent


def test_it_acts_where_its_window_and_its_levels_leave_something():
    edit = style(sigma_start=3.0, sigma_end=0.5, factors=Factors(levels=[FADE]))
    assert [edit.acts_at(sigma) for sigma in (0.0, 0.4, 0.5, 3.0, 3.1)] == [False, False, True, True, False]
    assert not style(factors=Factors(levels=[FADE])).acts_at(0.0)


@torch.inference_mode()
@pytest.mark.parametrize("block", range(6))
def test_folded_features_have_the_size_that_is_counted(block):
    edit = control()
    features = prepare_edit(edit, 8, 8, skip_of(block)).features
    total = sum(each[0].numel() for each in features if each is not None)
    assert total == edit.tuners.numbers_of_hint(8, 8)
    assert features[block].shape[1] == edit.tuners.spec.ranks[block] + LAYOUT.channels[block]
