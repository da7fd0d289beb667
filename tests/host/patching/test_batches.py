"""Batches, sizes, channels and dtypes: every latent gets what it would have got alone."""

import pytest
import torch
from comfy.context_windows import IndexListContextWindow
from host_tools import picture, run, sample, tiny_model

# one latent in a batch and alone: the same sums in other groupings
TOLERANCE = {"atol": 2e-4, "rtol": 1e-3}


def patch_of(model):
    return model.model_options["transformer_options"]["patches"]["output_block_patch"][0]


def edited_skip(model, skip, **options):
    step = {"block": ("output", 5), "original_shape": [1, 4, *skip.shape[-2:]], "sigmas": torch.ones(1)}
    with torch.inference_mode():
        return patch_of(model)(skip, skip, {**step, **options})[1]


def controlled(nodes, model, control, image, **inputs):
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=image, **inputs)


def test_one_hint_serves_all_latents(nodes, model, control):
    edited = controlled(nodes, model, control, picture())
    many = controlled(nodes, model, control, picture().repeat(3, 1, 1, 1))
    torch.testing.assert_close(sample(edited, batch=3), sample(many, batch=3), **TOLERANCE)


@pytest.mark.parametrize("hints", [2, 3, 5])
def test_each_latent_takes_its_own_hint_and_fewer_repeat(nodes, model, control, hints):
    images = picture(batch=hints)
    skip = torch.randn(3, 32, 16, 16).repeat(2, 1, 1, 1)  # cond and uncond chunk of three latents
    many = edited_skip(controlled(nodes, model, control, images), skip, cond_or_uncond=[1, 0])
    for latent in range(3):
        image = images[latent % hints : latent % hints + 1]
        alone = edited_skip(controlled(nodes, model, control, image), skip[latent : latent + 1])
        for row in (latent, latent + 3):
            torch.testing.assert_close(many[row : row + 1], alone, **TOLERANCE)


def test_masks_of_a_batch_act_each_on_their_latent(nodes, model, control):
    mask = torch.zeros(2, 64, 64)
    mask[1] = 1
    skip = torch.randn(2, 32, 16, 16)
    edited = edited_skip(controlled(nodes, model, control, picture(), mask=mask), skip, cond_or_uncond=[0])
    assert torch.equal(edited[0], skip[0])
    assert not torch.equal(edited[1], skip[1])


@pytest.mark.parametrize("key", ["context_window", "ad_params"])
def test_context_windows_pick_the_hints_of_their_latents(nodes, model, control, key):
    images = picture(batch=4)
    host_window = IndexListContextWindow([2, 0], total_frames=4)
    window = {key: {"context_window": host_window, "ad_params": {"sub_idxs": [2, 0]}}[key]}
    skip = torch.randn(2, 32, 16, 16)
    edited = edited_skip(controlled(nodes, model, control, images), skip, cond_or_uncond=[0], **window)
    for row, frame in enumerate((2, 0)):
        alone = controlled(nodes, model, control, images[frame : frame + 1])
        torch.testing.assert_close(
            edited[row : row + 1], edited_skip(alone, skip[row : row + 1]), **TOLERANCE
        )


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (9, 31), (8, 8)])
def test_any_latent_size_works(nodes, model, control, tuner, size):
    edited = controlled(nodes, model, control, picture(100, 140))
    edited = run(nodes["SCEditApplySCTuner"], model=edited, tuner=tuner)
    latents = sample(edited, size=size)
    assert latents.shape == (1, 4, *size)
    assert latents.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_hints_of_1_3_and_4_channels_work(nodes, model, control, channels):
    image = picture()
    grey = image[..., :1]
    given = {1: grey, 3: grey.repeat(1, 1, 1, 3), 4: torch.cat([grey.repeat(1, 1, 1, 3), image[..., :1]], -1)}
    wanted = sample(controlled(nodes, model, control, given[3]))
    assert torch.equal(sample(controlled(nodes, model, control, given[channels])), wanted)


def test_a_hint_of_any_size_is_fitted_the_same_way_by_every_node(nodes, model, control):
    image = picture(90, 210)
    row = run(nodes["SCEditCondition"], control=control, image=image)
    composed = run(nodes["SCEditApplyConditions"], model=model, conditions=row)
    assert torch.equal(sample(controlled(nodes, model, control, image)), sample(composed))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_in_half_precision_work_with_float32_tuners(nodes, control, tuner, dtype):
    half = tiny_model(dtype=dtype)
    edited = controlled(nodes, half, control, picture())
    edited = run(nodes["SCEditApplySCTuner"], model=edited, tuner=tuner)
    skip = torch.randn(2, 32, 16, 16, dtype=dtype)
    assert edited_skip(edited, skip).dtype == dtype
    latents = sample(edited)
    assert latents.isfinite().all()
    assert not torch.equal(latents, sample(half))
