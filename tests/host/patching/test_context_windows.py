"""Context windows of ComfyUI's own node: every latent keeps the hint and mask that it has without them.

The golden U-Net computes each latent by itself, so a batch sampled in windows is the batch sampled at once,
but for the rounding of other groupings.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfy.context_windows import ContextFuseMethods, ContextSchedules, IndexListContextWindow
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from host_tools import picture, run, sample

FRAMES = 8
TOLERANCE = {"atol": 2e-4, "rtol": 1e-3}


def windowed(model: Any, **inputs: Any) -> Any:
    """The MODEL with windows of 3 of its latents."""
    settings = {
        "context_length": 3, "context_overlap": 1, "context_schedule": ContextSchedules.STATIC_STANDARD,
        "context_stride": 1, "closed_loop": False, "fuse_method": ContextFuseMethods.PYRAMID, "dim": 0,
        "freenoise": False, "cond_retain_index_list": "", "latent_retain_index_list": "",
    }  # fmt: skip
    return run(ContextWindowsManualNode, model=model, **(settings | inputs))


def masks(count: int) -> torch.Tensor:
    """Masks (count, 64, 64), each white in other columns."""
    white = torch.zeros(count, 64, 64)
    for number in range(count):
        white[number, :, 8 * number : 8 * number + 24] = 1
    return white


def controlled(nodes: Any, model: Any, control: Any, hints: int, mask: torch.Tensor | None = None) -> Any:
    inputs = {"image": picture(64, 64, batch=hints), "mask": mask}
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, **inputs)


def sampled(model: Any) -> torch.Tensor:
    return sample(model, size=(8, 8), batch=FRAMES, steps=2)


@pytest.mark.parametrize("fuse_method", ContextFuseMethods.LIST_STATIC)
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "plain"])
def test_every_latent_keeps_its_hint(nodes, model, control, fuse_method, causal):
    edited = controlled(nodes, model, control, FRAMES)
    in_windows = sampled(windowed(edited, fuse_method=fuse_method, causal_window_fix=causal))
    torch.testing.assert_close(in_windows, sampled(edited), **TOLERANCE)


@pytest.mark.parametrize("hints", [1, 3, FRAMES])
@pytest.mark.parametrize("mask_count", [1, 3, FRAMES])
def test_every_latent_keeps_its_hint_and_mask_however_many_there_are(
    nodes, model, control, hints, mask_count
):
    edited = controlled(nodes, model, control, hints, masks(mask_count))
    torch.testing.assert_close(sampled(windowed(edited)), sampled(edited), **TOLERANCE)


@pytest.mark.parametrize("schedule", [ContextSchedules.UNIFORM_LOOPED, ContextSchedules.BATCHED])
def test_windows_in_any_order_keep_their_hints(nodes, model, control, schedule):
    edited = controlled(nodes, model, control, FRAMES)
    inputs = {"context_schedule": schedule, "closed_loop": True}
    torch.testing.assert_close(sampled(windowed(edited, **inputs)), sampled(edited), **TOLERANCE)


def test_a_style_with_masks_keeps_them_in_windows(nodes, model, tuner):
    edited = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, mask=masks(FRAMES))
    torch.testing.assert_close(sampled(windowed(edited)), sampled(edited), **TOLERANCE)


def test_a_window_that_does_not_fit_its_batch_is_refused_in_a_sentence(nodes, pack, model, control):
    edited = controlled(nodes, model, control, FRAMES)
    patch = edited.model_options["transformer_options"]["patches"]["output_block_patch"][0]
    skip = torch.randn(2, 32, 8, 8)
    options = {
        "block": ("output", 5), "original_shape": [2, 4, 8, 8], "sigmas": torch.ones(1),
        "cond_or_uncond": [0], "context_window": IndexListContextWindow([0, 1, 2], total_frames=FRAMES),
    }  # fmt: skip
    with pytest.raises(pack.scedit_core.SCEditError, match="names 3 latents, but 2 are computed together"):
        patch(skip, skip, options)
