"""Hints and masks that would not fit into memory are refused before any of it is taken."""

import comfy.model_management
import pytest
import torch
from host_tools import picture, run

CANNY = {"condition": "canny", "low_threshold": 100, "high_threshold": 200}
LARGEST = 16_384


@pytest.fixture(autouse=True)
def eight_gigabytes(monkeypatch):
    """A computer with so much free."""
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *_: 8e9)


def test_a_long_picture_is_not_made_larger_without_end(nodes, pack):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        run(nodes["SCEditPreprocess"], image=torch.rand(1, 4, 256, 3), condition=CANNY, resolution=8192)
    assert "524288 x 8192 pixels, which are too many; set resolution to 1448 or less" in str(caught.value)


@pytest.mark.parametrize("keep_size", [True, False])
def test_a_batch_that_does_not_fit_is_refused(nodes, pack, keep_size):
    batch = torch.rand(300, 32, 32, 3)
    with pytest.raises(pack.scedit_core.SCEditError, match=r"needs about 12\.6 GB and 8\.0 GB are free"):
        run(
            nodes["SCEditPreprocess"], image=batch, condition=CANNY, resolution=1024, keep_size=keep_size
        )  # fmt: skip


@pytest.mark.parametrize(
    "inputs",
    [
        {"width": LARGEST, "height": LARGEST, "batch_size": 1},
        {"width": 512, "height": 512, "batch_size": 4096},
        {"width": 1, "height": 1, "batch_size": 4096, "image": picture(512, 512)},
    ],
)
def test_masks_that_do_not_fit_are_refused(nodes, pack, inputs):
    with pytest.raises(pack.scedit_core.SCEditError, match=r"GB are free; make the masks smaller, or fewer"):
        run(nodes["SCEditRandomMask"], seed=0, **inputs)


def test_a_picture_that_would_grow_beyond_memory_is_refused(nodes, pack):
    sides = dict.fromkeys(("left", "top", "right", "bottom"), LARGEST)
    with pytest.raises(pack.scedit_core.SCEditError, match=r"needs about 44\.3 GB .* grow it less"):
        run(nodes["SCEditOutpaint"], image=picture(512, 512), **sides)
