"""What must come out bit for bit: no edit where none was asked for, the same picture twice."""

import pytest
import torch
from host_tools import picture, run, sample


@pytest.fixture(scope="module")
def base(model):
    """The base model's latents."""
    return sample(model)


def with_control(nodes, model, control, **inputs):
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(), **inputs)


SILENT = {
    "strength 0": {"strength": 0.0},
    "mask all black": {"mask": torch.zeros(1, 64, 64)},
    "window before the first step": {"start_percent": 0.0, "end_percent": 0.0},
    "window after the last step": {"start_percent": 1.0, "end_percent": 1.0},
}


@pytest.mark.parametrize("inputs", SILENT.values(), ids=SILENT.keys())
def test_an_edit_without_effect_gives_the_base_bit_for_bit(nodes, model, base, tuner, control, inputs):
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, **inputs)
    assert torch.equal(sample(styled), base)
    assert torch.equal(sample(with_control(nodes, model, control, **inputs)), base)


def test_a_mask_leaves_unmasked_skips_alone(nodes, model, control):
    mask = torch.zeros(1, 128, 128)
    mask[:, :, :64] = 1
    half = with_control(nodes, model, control, mask=mask)
    patch = half.model_options["transformer_options"]["patches"]["output_block_patch"][0]
    skip = torch.randn(1, 32, 16, 16)
    options = {"block": ("output", 5), "original_shape": [1, 4, 16, 16], "sigmas": torch.ones(1)}
    with torch.inference_mode():
        _, edited = patch(skip, skip, options)
    assert torch.equal(edited[..., 8:], skip[..., 8:])
    assert not torch.isclose(edited[..., :8], skip[..., :8]).all()


def test_weights_of_zero_in_a_bundle_give_the_base_bit_for_bit(nodes, model, base, control):
    row = run(nodes["SCEditCondition"], control=control, image=picture(), weight=0.0)
    bundle = run(nodes["SCEditComposeConditions"], conditions={"condition0": row, "condition1": row})
    assert torch.equal(sample(run(nodes["SCEditApplyConditions"], model=model, conditions=bundle)), base)


def test_applying_never_changes_the_model_it_was_given(nodes, model, base, tuner, control):
    weights = {key: value.clone() for key, value in model.model.state_dict().items()}
    once = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    sampled_once = sample(once)
    twice = with_control(nodes, once, control)
    assert not torch.equal(sample(twice), sampled_once)
    assert torch.equal(sample(once), sampled_once)
    assert torch.equal(sample(model), base)
    assert all(torch.equal(value, weights[key]) for key, value in model.model.state_dict().items())
    assert "patches" not in model.model_options["transformer_options"]


def test_the_same_graph_gives_the_same_picture_twice(nodes, model, tuner, control):
    edited = with_control(nodes, run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner), control)
    assert torch.equal(sample(edited), sample(edited))


def test_controls_commute(nodes, model, control, other_control):
    one = with_control(nodes, with_control(nodes, model, control), other_control)
    other = with_control(nodes, with_control(nodes, model, other_control), control)
    assert torch.equal(sample(one), sample(other))


def test_a_bundle_equals_a_chain_of_apply_nodes(nodes, model, control, other_control):
    chained = with_control(
        nodes, with_control(nodes, model, control, strength=0.6), other_control, strength=0.4
    )
    rows = {
        "condition0": run(nodes["SCEditCondition"], control=control, image=picture(), weight=3.0),
        "condition1": run(nodes["SCEditCondition"], control=other_control, image=picture(), weight=2.0),
    }
    bundle = run(nodes["SCEditComposeConditions"], conditions=rows, normalize=True)
    composed = run(nodes["SCEditApplyConditions"], model=model, conditions=bundle, strength=1.0)
    torch.testing.assert_close(sample(chained), sample(composed), atol=1e-5, rtol=1e-5)


def test_a_model_carries_one_patch_however_many_edits(nodes, model, tuner, control, other_control):
    edited = with_control(nodes, with_control(nodes, model, control), other_control)
    edited = run(nodes["SCEditApplySCTuner"], model=edited, tuner=tuner)
    patches = edited.model_options["transformer_options"]["patches"]["output_block_patch"]
    assert len(patches) == 1
    assert len(patches[0].edits) == 3
