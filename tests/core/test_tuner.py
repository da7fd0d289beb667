"""One tuner on one skip: what it computes, and that a fresh one computes nothing."""

import math

import pytest
import torch

from scedit_core import EncoderSize, SkipEdit, SkipLayout, TunerSpec, build_tuners, edit_skip, prepare_edit
from scedit_core.tuner import SCTuner

LAYOUT = SkipLayout((16, 8, 8, 8), (1, 2, 1, 1))
WIDTH, RANK = 6, 4


@pytest.fixture
def tuner() -> SCTuner:
    """A tuner with random weights, in float64: what is left of a difference is then a wrong formula."""
    torch.manual_seed(0)
    tuner = SCTuner(WIDTH, RANK, dtype=torch.float64)
    for weights in tuner.parameters():
        torch.nn.init.normal_(weights)
    return tuner


@pytest.fixture
def skip() -> torch.Tensor:
    """A random skip."""
    return torch.randn(2, WIDTH, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def plain_adapter(tuner: SCTuner, x: torch.Tensor) -> torch.Tensor:
    """`W_up gelu(W_down x + b_down) + b_up` for one pixel, with the integral of the Gaussian."""
    inner = [tuner.down.weight[r].dot(x) + tuner.down.bias[r] for r in range(RANK)]
    active = torch.stack([v * (1 + math.erf(float(v) / math.sqrt(2))) / 2 for v in inner])
    return torch.stack([tuner.up.weight[c].dot(active) + tuner.up.bias[c] for c in range(WIDTH)])


@torch.inference_mode()
def test_delta_is_the_adapter_on_every_pixel(tuner, skip):
    delta = tuner(skip)
    assert delta.shape == skip.shape
    for item in range(2):
        for row in range(3):
            for column in range(5):
                wanted = plain_adapter(tuner, skip[item, :, row, column])
                assert (delta[item, :, row, column] - wanted).abs().max() < 1e-12


@torch.inference_mode()
def test_gelu_is_the_erf_one_and_not_its_tanh_approximation(tuner, skip):
    tanh = tuner.up(torch.nn.functional.gelu(tuner.down(skip), approximate="tanh"))
    assert (tuner(skip) - tanh).abs().max() > 1e-5  # what telling the two apart takes


def test_a_fresh_tuner_is_random_below_and_zero_above():
    tuner = SCTuner(WIDTH, RANK)
    assert tuner.down.weight.std() > 0
    assert not tuner.up.weight.any()
    assert not tuner.up.bias.any()


@torch.inference_mode()
@pytest.mark.parametrize("kernel", [None, 1, 3], ids=["sc", "csc_k1", "csc_k3"])
def test_fresh_tuners_change_no_bit(kernel):
    spec = TunerSpec.sc(LAYOUT) if kernel is None else TunerSpec.csc(LAYOUT, encoder=EncoderSize(kernel))
    torch.manual_seed(0)
    hint = None if kernel is None else torch.rand(1, 3, 64, 64)
    edit = prepare_edit(SkipEdit(build_tuners(spec), 1.7, hint=hint), 8, 8, torch.zeros(1))
    for block, width in enumerate(LAYOUT.channels):
        size = 4 if block < 2 else 8
        skip = torch.randn(1, width, size, size)
        assert torch.equal(edit_skip(skip, block, [edit]), skip)


@torch.inference_mode()
def test_the_delta_of_a_control_is_the_hint_and_the_adapter_of_both(skip):
    torch.manual_seed(0)
    tuners = build_tuners(TunerSpec.csc(SkipLayout((WIDTH,), (1,))), dtype=torch.float64)
    for weights in tuners.parameters():
        torch.nn.init.normal_(weights)
    hint = torch.randn(1, WIDTH, 3, 5, dtype=torch.float64)
    wanted = hint + tuners.tuners["0"](skip + hint)
    assert torch.equal(tuners.delta(0, skip, hint), wanted)
    assert (tuners.delta(0, skip, hint) - tuners.delta(0, skip, 0 * hint)).abs().max() > 0.1
