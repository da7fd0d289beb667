"""Hint images and masks, from what users connect to what fits the latent."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from support import GOLDEN
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from scedit_core import SCEditError, SkipLayout, TunerSpec, build_tuners, hint
from scedit_core.hint import cover, cycled, scaled, to_hint, to_mask

SIZES = [(64, 64), (64, 96), (96, 64), (8, 200), (200, 8), (65, 31)]


def noise(*shape: int) -> torch.Tensor:
    """Seeded uniform noise."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def same_framing(case: dict) -> bool:
    """True if the authors scale this image as we do: they fit its short side, we cover the target."""
    (height, width), (to_height, to_width) = case["image_hw"], case["target_hw"]
    scale = min(to_height, to_width) / min(height, width)
    return height * scale >= to_height and width * scale >= to_width


CASES = [case for case in GOLDEN.index["preprocess"]["resize_crop"]["cases"] if same_framing(case)]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_rgb_and_rgba_images_become_rgb_hints(channels):
    image = noise(2, 5, 7, channels)
    hint = to_hint(image)
    assert hint.shape == (2, 3, 5, 7)
    for channel in range(3):
        assert torch.equal(hint[:, channel], image[..., min(channel, channels - 1)])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 8, 8, 2), "1, 3 or 4 channels, got 2; convert it to RGB"),
        ((1, 8, 8, 5), "1, 3 or 4 channels, got 5"),
        ((0, 8, 8, 3), r"at least one image .*got shape \(0, 8, 8, 3\); connect"),
        ((1, 0, 8, 3), "at least one image"),
        ((8, 8, 3), r"got shape \(8, 8, 3\)"),
    ],
)
def test_images_that_are_no_hints_are_refused(shape, words):
    with pytest.raises(SCEditError, match=words):
        to_hint(torch.zeros(shape))


def test_masks_with_and_without_a_batch_are_taken():
    mask = noise(2, 5, 7)
    assert torch.equal(to_mask(mask), mask[:, None])
    assert torch.equal(to_mask(mask[0]), mask[:1, None])


@pytest.mark.parametrize("shape", [(0, 8, 8), (1, 0, 8), (1, 1, 8, 8), (8,)])
def test_masks_without_pixels_are_refused(shape):
    with pytest.raises(SCEditError, match=r"expected a mask \(M, H, W\) with at least one pixel"):
        to_mask(torch.zeros(shape))


def test_half_precision_and_whole_numbers_become_float32():
    assert to_hint(torch.ones(1, 4, 4, 3, dtype=torch.float16)).dtype == torch.float32
    assert to_mask(torch.ones(1, 4, 4, dtype=torch.uint8)).dtype == torch.float32


def test_an_image_of_the_right_size_is_handed_on_itself():
    image = noise(2, 3, 48, 64)
    assert cover(image, 48, 64) is image


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", SIZES)
def test_no_bars_appear(size, target):
    covered = cover(torch.ones(1, 3, *size), *target)
    assert covered.shape == (1, 3, *target)
    assert (covered - 1).abs().max() < 1e-5  # weights of an interpolation add up to 1, but for rounding


def test_the_centre_is_kept():
    image = noise(1, 3, 8, 16)
    assert (cover(image, 8, 8) - image[..., 4:12]).abs().max() < 1e-6
    assert (cover(image, 4, 16) - image[..., 2:6, :]).abs().max() < 1e-6


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("target", SIZES[:3])
def test_squares_stay_square(size, target):
    image = torch.zeros(1, 1, *size)
    top, left = size[0] // 2 - 10, size[1] // 2 - 10
    image[..., top : top + 20, left : left + 20] = 1
    bright = cover(image, *target)[0, 0] > 0.5
    height, width = bright.any(1).sum(), bright.any(0).sum()
    assert height == width
    assert height >= 20 * max(target) / 96


def test_shrinking_averages_and_skips_no_pixel():
    stripes = torch.zeros(1, 3, 256, 256)
    stripes[..., ::8] = 1
    inner = cover(stripes, 32, 32)[..., 4:-4]
    assert (inner - 1 / 8).abs().max() < 1e-3


def scaled_then_cropped(image, height, width):
    """What `cover` was when it scaled every picture before it cropped."""
    high, wide = image.shape[-2:]
    by_height = wide * height >= width * high
    size = (height, wide * height // high) if by_height else (high * width // wide, width)
    image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return image[..., top : top + height, left : left + width]


ORDINARY = [
    ((1, 3, 512, 768), (512, 512)),
    ((1, 3, 1080, 1920), (1024, 1024)),
    ((1, 1, 1920, 1080), (512, 768)),
    ((1, 3, 300, 2400), (1024, 1024)),  # a panorama
    ((2, 3, 64, 900), (1024, 640)),
    ((9, 3, 720, 1280), (512, 512)),
    ((3, 3, 2000, 3000), (64, 64)),
    ((1, 1, 8, 8), (2048, 1024)),
]


@pytest.mark.parametrize(("shape", "target"), ORDINARY)
@pytest.mark.parametrize("channels_last", [False, True])
def test_ordinary_pictures_are_scaled_as_they_always_were(shape, target, channels_last):
    image = noise(*shape)
    if channels_last:  # as to_hint makes them
        image = image.movedim(1, -1).contiguous().movedim(-1, 1)
    assert torch.equal(cover(image, *target), scaled_then_cropped(image, *target))


def test_large_batches_are_scaled_one_by_one_to_the_same_pixels(monkeypatch):
    image, target = noise(3, 3, 60, 100), (48, 48)
    together = cover(image, *target)
    monkeypatch.setattr(hint, "_MOST_PIXELS", 5000)
    assert torch.equal(cover(image, *target), together)


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((1, 300), (64, 64)),
        ((300, 1), (64, 96)),
        ((2, 401), (40, 56)),
        ((401, 7), (128, 32)),
        ((3, 90), (65, 31)),
    ],
)
def test_a_picture_that_is_cropped_first_has_the_same_pixels_but_for_rounding(monkeypatch, size, target):
    image = noise(2, 3, *size)
    monkeypatch.setattr(hint, "_MOST_PIXELS", 0)
    assert (cover(image, *target) - scaled_then_cropped(image, *target)).abs().max() < 1e-4


class Largest(TorchFunctionMode):
    """Remembers how many numbers the largest tensor has that any call returns."""

    most = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.most = max(
            self.most, *(t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor)), 0
        )
        return result


@pytest.mark.parametrize("shape", [(1, 3, 1, 4096), (1, 3, 4096, 1), (1, 1, 16_384, 1), (4, 3, 2, 100_000)])
def test_a_picture_of_which_little_is_kept_never_grows_whole(shape):
    with Largest() as largest:
        covered = cover(torch.ones(shape), 512, 512)
    assert (covered - 1).abs().max() < 1e-5
    assert largest.most <= max(2 * covered.numel(), 3 * 2**20)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_numbers_that_are_not_finite_are_refused(value, channels):
    image = torch.zeros(2, 8, 8, channels)
    image[1, 7, 7, 0] = value
    with pytest.raises(SCEditError, match=r"an image holds numbers that are not finite .* look at the node"):
        to_hint(image)
    with pytest.raises(SCEditError, match="a mask holds numbers that are not finite"):
        to_mask(image[..., 0])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_images_and_masks_of_any_kind_of_number_are_taken(dtype):
    assert to_hint(torch.ones(1, 2, 2, 3, dtype=dtype)).sum() == 12
    assert to_mask(torch.ones(1, 2, 2, dtype=dtype)).sum() == 4


@pytest.mark.parametrize("width", [20, 32, 44])
def test_a_mirrored_image_makes_a_mirrored_hint(width):
    image = noise(1, 3, 24, width)  # even sizes: as much is cut on either side
    mirrored = cover(image.flip(-1), 36, 24).flip(-1)
    assert (mirrored - cover(image, 36, 24)).abs().max() < 1e-5  # sums in another order


@pytest.mark.parametrize("case", CASES, ids=[str(case["index"]) for case in CASES])
def test_hints_equal_the_authors_where_theirs_have_no_bars(golden, case):
    stored = load_file(golden.path("preprocess/resize_crop.safetensors"))
    image = stored[f"{case['index']}.image"][None] / 255
    wanted = stored[f"{case['index']}.hint"]
    # the authors round to whole steps of 1/255, once per direction
    assert (cover(to_hint(image), *case["target_hw"]) - wanted).abs().max() < 1.5 / 255


def test_what_is_fewer_than_the_rest_repeats():
    x = noise(2, 3)
    assert torch.equal(cycled(x, torch.tensor([0, 1, 2, 3, 7])), x[[0, 1, 0, 1, 1]])


def test_a_picture_of_the_right_size_is_not_scaled_and_what_is_only_cropped_keeps_its_bits():
    image = noise(1, 3, 40, 24)
    assert scaled(image, (40, 24)) is image
    assert torch.equal(cover(image, 24, 24), image[..., 8:32, :])


@pytest.mark.parametrize("channels", [32, 320])
def test_a_fresh_encoder_lets_the_hint_through_its_first_convs(channels):
    """PyTorch's own start leaves a thousandth of it, and training spends its steps on bringing it back."""
    torch.manual_seed(0)
    layout = SkipLayout.from_channels((channels * 4,) * 5 + (channels * 2,) * 3 + (channels,) * 4)
    encoder = build_tuners(TunerSpec.csc(layout)).hint_encoder
    lines = torch.zeros(2, 3, 128, 128)
    lines[0, :, 40:42, 20:100] = lines[1, :, 20:100, 70:72] = 1.0
    with torch.no_grad():
        for count, conv in enumerate(encoder.pre):
            lines = conv(F.silu(lines) if count else lines)
    difference = (lines[0] - lines[1]).std()  # of two hints, so that biases do not count
    assert 0.1 < difference < 10
