"""Hints from photos, pixel for pixel as the published controllers saw them."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from scedit_core.annotators.drawn.canny import canny
from scedit_core.annotators.drawn.color import color
from scedit_core.annotators.drawn.masked_image import masked_image

SIZES = [(64, 64), (96, 160), (160, 96), (130, 67), (30, 50), (1, 1), (200, 3)]


def photo(height: int, width: int) -> np.ndarray:
    """A seeded picture with soft shapes, so that it has edges but is no noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.fixture(scope="module")
def stored(golden) -> dict[str, np.ndarray]:
    """A picture and the authors' hints of it."""
    return load_file(golden.path("preprocess/annotators.safetensors"))


def test_canny_equals_the_authors(stored):
    assert np.array_equal(canny(stored["image"]), stored["canny_100_200"])


def test_color_equals_the_authors(stored):
    assert np.array_equal(color(stored["image"]), stored["color_64"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("low", "high"), [(100, 200), (10, 40), (0, 0)])
def test_canny_is_opencvs_on_the_rgb_image(size, low, high):
    image = photo(*size)
    hint = canny(image, low, high)
    assert hint.shape == image.shape
    assert hint.dtype == np.uint8
    for channel in range(3):
        assert np.array_equal(hint[..., channel], cv2.Canny(image, low, high))


def test_the_published_settings_are_the_defaults():
    image = np.random.default_rng(0).integers(0, 60, (200, 300, 3), dtype=np.uint8)  # gradients of every size
    assert np.array_equal(canny(image), canny(image, 100, 200))
    assert not np.array_equal(canny(image), canny(image, 100, 205))
    assert not np.array_equal(canny(image), canny(image, 95, 200))
    assert np.array_equal(color(image), color(image, 64))


def test_canny_draws_white_on_black():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    hint = canny(image)
    assert set(np.unique(hint)) == {0, 255}
    assert (hint == 255).mean() < 0.1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ratio", [64, 16, 1])
def test_color_is_cubic_down_and_nearest_up(size, ratio):
    image, (height, width) = photo(*size), size
    blocks = (max(1, width // ratio), max(1, height // ratio))
    small = cv2.resize(image, blocks, interpolation=cv2.INTER_CUBIC)
    wanted = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(color(image, ratio), wanted)


@pytest.mark.parametrize("size", [(30, 50), (63, 100), (1, 1)])
def test_a_side_shorter_than_the_ratio_makes_one_block(size):
    hint = color(photo(*size), 64)
    assert hint.shape == (*size, 3)
    assert len(np.unique(hint[:, 0].reshape(-1, 3), axis=0)) == 1


def test_annotators_leave_their_image_alone():
    image = photo(40, 60)
    before = image.copy()
    canny(image)
    color(image)
    assert np.array_equal(image, before)


def noise(*shape: int) -> torch.Tensor:
    """Seeded uniform noise, nowhere 0."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1


def test_masked_pixels_are_black_and_all_others_untouched():
    image, mask = noise(2, 3, 12, 20), (noise(1, 1, 12, 20) > 0.5).float()
    before = image.clone()
    cut = masked_image(image, mask)
    masked = mask.bool().expand_as(image)
    assert not cut[masked].any()
    assert torch.equal(cut[~masked], image[~masked])
    assert torch.equal(image, before)


@pytest.mark.parametrize(("images", "masks"), [(3, 3), (3, 2), (2, 3)])
def test_each_image_has_its_own_mask_and_fewer_repeat(images, masks):
    image, mask = noise(images, 3, 8, 8), (noise(masks, 1, 8, 8) > 0.5).float()
    cut = masked_image(image, mask)
    for index in range(images):
        alone = masked_image(image[index : index + 1], mask[index % masks][None])
        assert torch.equal(cut[index], alone[0])


def test_a_mask_of_another_size_is_fitted_to_the_image():
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 32:] = 1
    image = noise(1, 3, 16, 16)  # takes the middle half of the mask's width
    cut = masked_image(image, mask)
    assert torch.equal(cut[..., :8], image[..., :8])
    assert not cut[..., 8:].any()


@pytest.mark.parametrize(("value", "is_masked"), [(0.0, False), (0.5, False), (0.51, True), (1.0, True)])
def test_a_mask_masks_above_one_half(value, is_masked):
    cut = masked_image(noise(1, 3, 4, 4), torch.full((1, 1, 4, 4), value))
    assert (not cut.any()) == is_masked
