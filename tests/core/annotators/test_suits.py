"""A picture that cannot be a hint of the control's kind is told apart from one that can."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import REPOSITORY

from scedit_core.annotators.drawn.canny import canny
from scedit_core.annotators.suits import misfit

PHOTO = np.asarray(Image.open(REPOSITORY / "sandbox" / "photo.jpg").convert("RGB"))


def image(pixels):
    """IMAGE (1, H, W, 3) of pixels."""
    return torch.from_numpy(np.array(pixels)).float()[None] / 255


GREY = np.repeat(PHOTO.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
EDGES = canny(PHOTO)
JPEG = EDGES.astype(int) + np.random.default_rng(0).integers(-9, 10, EDGES.shape)

FITS = {
    "edges": (EDGES, "canny_control", {}),
    "edges out of a JPEG": (JPEG.clip(0, 255).astype(np.uint8), "canny_control", {}),
    "edges scaled": (np.asarray(Image.fromarray(EDGES).resize((300, 200))), "SD2.1/canny_control", {}),
    "grey depth": (GREY, "depth_control", {}),
    "a photo for colours": (PHOTO, "color_control", {}),
    "a photo of unknown use": (PHOTO, "mine", {}),
    "a photo for inpainting, whatever its name": (PHOTO, "canny", {"scedit.condition": "masked image"}),
    "one channel": (EDGES[..., :1], "canny_control", {}),
}


@pytest.mark.parametrize(("pixels", "name", "metadata"), FITS.values(), ids=FITS.keys())
def test_nothing_is_said_of_a_hint_that_may_be_one(pixels, name, metadata):
    assert misfit(image(pixels), name, metadata) is None


ODD = {
    "a photo for canny": (PHOTO, "canny_control", {}, ["has colours", "'canny_control'", "white edges"]),
    "a grey photo for canny": (GREY, "canny_control", {}, ["mostly grey"]),
    "a photo for depth": (PHOTO, "mine", {"scedit.condition": "depth"}, ["has colours", "grey depth"]),
    "a photo for HED": (PHOTO, "HED_control", {}, ["has colours", "dark edges on white", "bypassed"]),
}


@pytest.mark.parametrize(("pixels", "name", "metadata", "words"), ODD.values(), ids=ODD.keys())
def test_one_that_cannot_be_is_said_in_a_sentence(pixels, name, metadata, words):
    said = misfit(image(pixels), name, metadata)
    assert all(word in said for word in words), said


def test_an_image_of_another_form_is_left_to_those_who_check_it():
    assert misfit(torch.zeros(3, 4), "canny", {}) is None
    assert misfit(torch.zeros(0, 4, 4, 3), "canny", {}) is None
