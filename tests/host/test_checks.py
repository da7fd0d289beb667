"""What nodes are handed is checked against their schema, whoever makes it."""

from __future__ import annotations

import pytest
import torch
from host_tools import picture, run
from support import GOLDEN


@pytest.fixture
def sentence(pack, nodes):
    """The sentence with which a node refuses its inputs."""

    def refused(node, **inputs):
        with pytest.raises(pack.scedit_core.SCEditError) as caught:
            run(nodes[node], **inputs)
        return str(caught.value)

    return refused


def test_no_node_is_without_its_checks(sentence, nodes):
    for node in nodes:
        assert "has no input nothing" in sentence(node, nothing=1)


CANNY = {"image": picture(16, 16), "low_threshold": 100, "high_threshold": 200}
WRONG = {
    "a text for a picture": ({"image": "photo.png"}, "image takes an IMAGE, got 'photo.png'"),
    "a picture of complex numbers": (
        {"image": torch.ones(1, 8, 8, 3, dtype=torch.complex64)},
        "got a tensor of shape (1, 8, 8, 3) and torch.complex64 on cpu",
    ),
    "a picture without content": ({"image": torch.ones(1, 8, 8, 3, device="meta")}, "on meta; connect"),
    "a fraction for a whole number": (
        {"low_threshold": 1.5},
        "low_threshold is a whole number from 0 to 2000",
    ),
    "a number out of range": ({"high_threshold": 10**30}, "from 0 to 2000, got 1000000"),
    "true for a number": ({"low_threshold": True}, "got True; change it"),
    "nothing for a number": ({"low_threshold": object()}, "got a value of type object"),
}


@pytest.mark.parametrize(("inputs", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_value_of_another_type_is_named_with_what_was_expected(sentence, inputs, words):
    assert words in sentence("SCEditCanny", **{**CANNY, **inputs})


@pytest.mark.parametrize("value", ["vae.safetensors", b"vae", 5], ids=["text", "bytes", "number"])
def test_what_encodes_or_decodes_alone_is_no_vae(sentence, value):
    assert "vae takes a VAE, got" in sentence("SCEditTrainingFolder", folder="set", vae=value)


def test_a_choice_that_is_not_offered_is_named_with_those_that_are(sentence):
    image = picture(16, 16)
    assert "polarity is one of dark on white, white on black, got 5" in sentence(
        "SCEditHED", image=image, polarity=5
    )
    for kind in ("magic", None, 5, ["canny"]):
        words = sentence("SCEditPreprocess", image=image, condition={"condition": kind})
        assert "condition is one of canny, color," in words
    assert "condition is one of canny, color," in sentence("SCEditPreprocess", image=image)
    assert "condition holds further inputs" in sentence("SCEditPreprocess", image=image, condition="canny")
    assert "low_threshold" in sentence("SCEditPreprocess", image=image, condition={"condition": "canny"})


def test_a_style_is_no_control_and_a_control_no_style(sentence, model, tuner, control):
    image = picture(16, 16)
    assert "takes a CSC-Tuner" in sentence("SCEditApplyCSCTuner", model=model, control=tuner, image=image)
    assert "takes an SC-Tuner" in sentence("SCEditApplySCTuner", model=model, tuner=control)


def test_what_brings_nothing_to_an_optional_input_is_as_if_it_were_not_there(nodes, model, control):
    given = {"model": model, "control": control, "image": picture(16, 16)}
    run(nodes["SCEditApplyCSCTuner"], mask=None, **given)
    condition = run(nodes["SCEditCondition"], control=control, image=picture(16, 16))
    rows = {"condition0": condition, "condition1": None}
    assert run(nodes["SCEditComposeConditions"], conditions=rows) == condition


def test_a_file_that_came_after_the_list_was_made_is_still_found(nodes, pack, tuner):
    nodes["SCEditLoadSCTuner"].GET_SCHEMA()
    source = GOLDEN.tuner("sc_full")
    target = pack.nodes.files.folders.own_folder() / "later" / source.name
    target.parent.mkdir(parents=True)
    target.symlink_to(source)
    assert run(nodes["SCEditLoadSCTuner"], tuner_name=f"later/{source.name}").patcher.model.spec.kind == "sc"
    target.unlink()
    target.parent.rmdir()
