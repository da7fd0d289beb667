"""Forms of the tuner and of the hint encoder against a second, plain writing of each."""

import pytest
import torch
import torch.nn.functional as F

from scedit_core import EncoderSize, SCEditError, SkipLayout, TunerSpec, build_tuners
from scedit_core.spec import StemSize

LAYOUT = SkipLayout((16, 16, 8, 8, 4, 4), (1, 2, 1, 2, 1, 1))
STEM = StemSize(0.25, 8)


def random_tuners(spec: TunerSpec) -> torch.nn.Module:
    """Tuners of this spec with all weights drawn at random."""
    torch.manual_seed(0)
    tuners = build_tuners(spec, dtype=torch.float64)
    for weights in tuners.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return tuners


@pytest.fixture
def skip() -> torch.Tensor:
    """A random skip of block 3."""
    return torch.randn(2, 8, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_the_conv_op_is_the_adapter_with_3x3_convs(skip):
    tuners = random_tuners(TunerSpec.sc(LAYOUT, 2, op="conv"))
    w = {key.removeprefix("tuners.3."): value for key, value in tuners.state_dict().items()}
    inner = F.gelu(F.conv2d(skip, w["down.weight"], w["down.bias"], padding=1))
    wanted = F.conv2d(inner, w["up.weight"], w["up.bias"], padding=1)
    assert w["down.weight"].shape == (4, 8, 3, 3)
    assert torch.allclose(tuners.delta(3, skip), wanted, rtol=0, atol=1e-12)


@torch.inference_mode()
def test_the_lora_op_is_one_low_rank_matrix(skip):
    tuners = random_tuners(TunerSpec.sc(LAYOUT, 4, op="lora"))
    w = {key.removeprefix("tuners.3."): value for key, value in tuners.state_dict().items()}
    wanted = torch.einsum("or,ri,bihw->bohw", w["up.weight"], w["down.weight"], skip)
    assert not [key for key in w if key.endswith("bias")]
    assert torch.allclose(tuners.delta(3, skip), wanted, rtol=0, atol=1e-12)


@torch.inference_mode()
def test_a_dual_conv_narrows_to_a_fifth_and_widens_again():
    spec = TunerSpec.csc(LAYOUT, encoder=EncoderSize(stem=STEM, is_dual=True))
    encoder = random_tuners(spec).hint_encoder
    features = encoder(torch.rand(1, 3, 32, 32, dtype=torch.float64))
    w = encoder.dense["3"].state_dict()
    x = F.silu(features[4])
    x = F.conv2d(x, w["down.weight"], w["down.bias"], stride=LAYOUT.strides[3], padding=1)
    wanted = F.conv2d(F.silu(x), w["up.weight"], w["up.bias"])
    assert w["down.weight"].shape == (8 // 5, 4, 3, 3)
    assert torch.allclose(features[3], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("op", ["adapter", "conv", "lora"])
@pytest.mark.parametrize("is_dual", [False, True])
def test_fresh_tuners_of_every_form_change_nothing(op, is_dual):
    spec = TunerSpec.csc(LAYOUT, 2, op=op, encoder=EncoderSize(stem=STEM, is_dual=is_dual))
    tuners = build_tuners(spec)
    for block, feature in enumerate(tuners.hint_encoder(torch.rand(1, 3, 32, 32))):
        assert not tuners.delta(block, torch.randn_like(feature), feature).any()


@pytest.mark.parametrize("blocks", [(0,), (5,), (1, 4), (0, 2, 5)])
def test_features_have_the_size_of_the_skips_of_any_chosen_blocks(blocks):
    tuners = build_tuners(TunerSpec.csc(LAYOUT, blocks=blocks, encoder=EncoderSize(stem=STEM)))
    features = tuners.hint_encoder(torch.rand(1, 3, 32, 32))
    sizes = (1, 1, 2, 2, 4, 4)
    for block in blocks:
        assert features[block].shape == (1, LAYOUT.channels[block], sizes[block], sizes[block])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TunerSpec.sc(LAYOUT, 5), ["up to 4, not 5"]),
        (lambda: TunerSpec.sc(LAYOUT, 0), ["above 0"]),
        (lambda: TunerSpec.sc(LAYOUT, -1), ["above 0"]),
        (lambda: TunerSpec.sc(LAYOUT, float("nan")), ["above 0", "nan"]),
        (lambda: TunerSpec.sc(LAYOUT, 5e-324), ["64 times as wide", "0.1 or more"]),
        (lambda: TunerSpec.sc(LAYOUT, blocks=()), ["0 to 5", "at least one"]),
        (lambda: TunerSpec.sc(LAYOUT, blocks=(0, 6)), ["0 to 5", "[0, 6]"]),
        (lambda: TunerSpec.csc(LAYOUT, blocks=(-1,)), ["0 to 5", "[-1]"]),
        (lambda: EncoderSize(kernel=2), ["odd", "got 2"]),
        (lambda: EncoderSize(kernel=0), ["odd", "got 0"]),
        (lambda: StemSize(0.0, 256), ["stem"]),
        (lambda: StemSize(1.0, 0), ["stem"]),
        (lambda: StemSize(1e308, 256), ["stem", "too many", "to 64"]),
    ],
)
def test_sizes_that_make_no_tuner_are_refused_in_a_sentence(make, words):
    with pytest.raises(SCEditError) as caught:
        make()
    assert not [word for word in words if word not in str(caught.value)]


def test_a_narrow_u_net_keeps_one_channel_between_dual_convs():
    layout = SkipLayout((8, 8, 4, 4), (1, 2, 1, 1))
    spec = TunerSpec.csc(layout, encoder=EncoderSize(stem=STEM, is_dual=True))
    assert spec.hint.bottlenecks == {0: 1, 1: 1, 2: 1, 3: 1}
