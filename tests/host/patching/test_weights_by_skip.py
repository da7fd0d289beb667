"""Weights by skip and by latent, and what matters more, through the nodes."""

import folder_paths
import pytest
import torch
from host_tools import picture, run, sample
from support import GOLDEN

SKIPS = 6


@pytest.fixture
def steered(nodes, model, control):
    """Applies a control with such inputs and samples."""

    def sampled(batch=1, **inputs):
        apply = nodes["SCEditApplyCSCTuner"]
        return sample(run(apply, model=model, control=control, image=picture(), **inputs), batch=batch)

    return sampled


@pytest.mark.parametrize("weights", ["0, 0, 0, 0, 0, 0", "0-5:0"])
def test_weights_of_zero_are_the_base_bit_for_bit(model, steered, weights):
    assert torch.equal(steered(skip_weights=weights), sample(model))


@pytest.mark.parametrize("inputs", [{"skip_weights": "1, 1, 1, 1, 1, 1"}, {"latent_weights": "0:1"}])
def test_weights_of_one_change_nothing_bit_for_bit(steered, inputs):
    assert torch.equal(steered(**inputs), steered())


def test_a_weight_acts_on_its_skip_alone(nodes, model, control):
    skip, edited = torch.randn(1, 32, 16, 16), {}
    for weights in ("", "5:0.5", "5:0"):
        made = run(
            nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(), skip_weights=weights
        )
        patch = made.model_options["transformer_options"]["patches"]["output_block_patch"][0]
        for block in (4, 5):
            options = {"block": ("output", block), "original_shape": [1, 4, 16, 16], "sigmas": torch.ones(1)}
            with torch.inference_mode():
                edited[weights, block] = patch(skip, skip, options)[1]
    assert torch.equal(edited["5:0.5", 4], edited["", 4])
    assert torch.equal(edited["5:0", 5], skip)
    half = (edited["", 5] + skip) / 2
    torch.testing.assert_close(edited["5:0.5", 5], half)


def test_weights_of_a_condition_go_with_it(nodes, model, control, steered):
    condition = run(nodes["SCEditCondition"], control=control, image=picture(), skip_weights="0:0.3, 4:2")
    bundle = run(nodes["SCEditComposeConditions"], conditions={"condition0": condition})
    made = sample(run(nodes["SCEditApplyConditions"], model=model, conditions=bundle))
    assert torch.equal(made, steered(skip_weights="0:0.3, 4:2"))


def test_a_style_in_the_encoder_counts_from_the_deepest_too(nodes, model):
    """Its blocks are those of the encoder, whose last one makes the deepest skip."""
    folder_paths.add_model_folder_path("scedit", str(GOLDEN.path("diffusers")))
    tuner = run(nodes["SCEditLoadSCTuner"], tuner_name="swift_encoder")
    made = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, skip_weights="0:0.25, 5:0.5")
    (edit,) = made.model_options["transformer_options"]["patches"]["output_block_patch"][0].edits
    assert edit.factors.blocks == {5: 0.25, 0: 0.5}


def test_what_matters_more(nodes, pack, model, control, steered):
    soft = ", ".join(map(str, pack.scedit_core.skip_weights.soft_weights(SKIPS)))
    prompt = steered(priority="prompt")
    assert torch.equal(prompt, steered(skip_weights=soft))
    both = steered(priority="control")
    assert not torch.equal(both, prompt)
    assert torch.equal(steered(priority="balanced"), steered())


def test_each_latent_has_its_weight(steered, model):
    together = steered(batch=3, latent_weights="0:0, 2:1")
    assert torch.equal(together[0], sample(model, batch=3)[0])
    assert torch.equal(together[1], steered(batch=3, strength=0.5)[1])
    assert torch.equal(together[2], steered(batch=3)[2])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"skip_weights": "1, 1, 1"}, "3 numbers, this model has 6 skips"),
        ({"skip_weights": "6:0"}, "block 6, this model has blocks 0 to 5"),
        ({"skip_weights": "nothing like it"}, "no preset 'nothing like it'"),
        ({"latent_weights": "0:1, 0.5"}, "written like '0:0, 15:1'"),
        ({"latent_weights": "3:1, 1:0"}, "in order"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(pack, steered, inputs, words):
    with pytest.raises(pack.scedit_core.SCEditError, match=words):
        steered(**inputs)


def listed(node):
    """The presets that a node's schema tells the frontend."""
    (text,) = (one for one in node.define_schema().inputs if one.id == "skip_weights")
    return text.as_dict()["scedit_presets"]


def test_users_have_presets_of_their_own(pack, nodes, steered):
    node, ours = nodes["SCEditCondition"], ["structure", "detail", "colour", "deep", "shallow"]
    assert listed(node) == ours
    file = pack.nodes.files.folders.own_folder() / "presets.txt"
    file.parent.mkdir(exist_ok=True)
    try:
        file.write_text("\ufeffmy own: 0, 1\ndeep: 1\n", encoding="utf-8")
        assert torch.equal(steered(skip_weights="my own"), steered(skip_weights="0, 0.2, 0.4, 0.6, 0.8, 1"))
        assert torch.equal(steered(skip_weights="Deep"), steered())
        assert listed(node) == [*ours, "my own"]
        file.write_text("my own 0, 1", encoding="utf-8")
        with pytest.raises(pack.scedit_core.SCEditError, match=r"line 1 of presets\.txt"):
            steered(skip_weights="my own")
        assert listed(node) == ours  # a node without a preset goes on
        assert torch.equal(steered(skip_weights="0:1"), steered())
    finally:
        file.unlink()
