"""Other nodes that change the same model keep working, and so do ours beside them."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ops
import comfy.sample
import pytest
import torch
from comfy_extras.nodes_freelunch import FreeU_V2
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance
from host_tools import drawn, picture, run, sample
from support import GOLDEN

import nodes as comfy_nodes


@pytest.fixture
def controlled(nodes, model, control):
    """A MODEL with one control."""
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture())


NEIGHBOURS = {
    "FreeU": (FreeU_V2, {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    "PAG": (PerturbedAttentionGuidance, {"scale": 3.0}),
    "SAG": (SelfAttentionGuidance, {"scale": 0.5, "blur_sigma": 2.0}),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_model_patches_work_before_and_after_ours(nodes, model, control, controlled, name):
    node, settings = NEIGHBOURS[name]
    neighbour = run(node, model=model, **settings)
    size = (16, 16)
    alone, ours = sample(neighbour, size=size), sample(controlled, size=size)
    after = sample(run(node, model=controlled, **settings), size=size)
    apply = nodes["SCEditApplyCSCTuner"]
    before = sample(run(apply, model=neighbour, control=control, image=picture()), size=size)
    for both in (before, after):
        assert both.isfinite().all()
        assert not torch.equal(both, alone)
        assert not torch.equal(both, ours)


def test_deep_shrink_gets_resized_hints(controlled, model):
    settings = {
        "block_number": 2, "downscale_factor": 2.0, "start_percent": 0.0, "end_percent": 0.5,
        "downscale_after_skip": False, "downscale_method": "bicubic", "upscale_method": "bicubic",
    }  # fmt: skip
    both = sample(run(PatchModelAddDownscale, model=controlled, **settings), steps=4)
    assert both.isfinite().all()
    assert not torch.equal(both, sample(run(PatchModelAddDownscale, model=model, **settings), steps=4))


def small_controlnet():
    """A stock ControlNet for the golden U-Net, with seeded weights."""
    config = dict(GOLDEN.index["unets"]["sd15_6skip"]["comfyui_unet_config"])
    for unused in ("out_channels", "transformer_depth_output"):
        config.pop(unused)
    generator = torch.Generator().manual_seed(3)
    network = drawn(
        lambda: comfy.cldm.cldm.ControlNet(**config, hint_channels=3, operations=comfy.ops.manual_cast),
        lambda weights: torch.randn(weights.shape, generator=generator) * 0.05,
    )
    place = comfy.model_management.get_torch_device()
    return comfy.controlnet.ControlNet(network, load_device=place, manual_cast_dtype=None)


def sample_with_controlnet(model, strength=1.0):
    generator = torch.Generator().manual_seed(7)
    positive, negative = ([[torch.randn(1, 7, 32, generator=generator), {}]] for _ in range(2))
    apply = comfy_nodes.ControlNetApplyAdvanced()
    with torch.inference_mode():
        positive, negative = apply.apply_controlnet(
            positive, negative, small_controlnet(), picture(seed=5), strength, 0.0, 1.0
        )
        noise = torch.randn(1, 4, 16, 16, generator=generator)
        return comfy.sample.sample(
            model, noise, 3, 4.0, "euler", "normal", positive, negative, noise * 0, disable_pbar=True, seed=1
        )


def test_controlnet_acts_beside_a_control(model, controlled):
    both, alone, ours = sample_with_controlnet(controlled), sample_with_controlnet(model), sample(controlled)
    assert both.isfinite().all()
    assert not torch.equal(both, alone)
    assert not torch.equal(both, ours)
    assert torch.equal(sample_with_controlnet(controlled), both)


def test_removing_our_node_gives_the_neighbours_picture_bit_for_bit(nodes, model, control):
    silent = run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(), strength=0.0)
    assert torch.equal(sample_with_controlnet(silent), sample_with_controlnet(model))


def test_a_patch_before_ours_may_take_the_skip_away(nodes, model, control, tuner):
    def without(skips_of):
        def take(h, skip, options):
            return h, None if options["block"][1] in skips_of else skip

        patched = model.clone()
        patched.set_model_output_block_patch(take)
        return patched

    def edited(base):
        base = run(nodes["SCEditApplySCTuner"], model=base, tuner=tuner)
        return run(nodes["SCEditApplyCSCTuner"], model=base, control=control, image=picture())

    patches = edited(without({0, 3})).model_options["transformer_options"]["patches"]["output_block_patch"]
    h = torch.randn(1, 64, 8, 8)
    options = {"block": ("output", 3), "original_shape": [1, 4, 16, 16], "sigmas": torch.ones(1)}
    with torch.inference_mode():
        skip = h
        for patch in patches:
            h, skip = patch(h, skip, options)
    assert skip is None
