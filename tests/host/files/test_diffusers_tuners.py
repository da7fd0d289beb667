"""Tuners made on diffusers' U-Nets in ComfyUI's own U-Net: the outputs of the code that made them."""

import pytest
import torch
from host_tools import run, sample
from safetensors.torch import load_file
from support import GOLDEN
from test_parity_in_comfyui import TOLERANCE, predict

ENTRY = GOLDEN.index["diffusers"]
CASES = [case for case in ENTRY["cases"] if GOLDEN.path(f"{ENTRY['folder']}/{case['expected']}").is_file()]


@pytest.fixture(scope="module")
def names(pack):
    """Loader names of the golden tuners of diffusers."""
    pack.nodes.files.folders.folder_paths.add_model_folder_path("scedit", str(GOLDEN.path("diffusers")))
    return pack.nodes.files.folders.tuner_names()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_comfyui_with_our_nodes_gives_the_output_of_diffusers(nodes, model, names, case):
    assert case["name"] in names
    inputs = load_file(GOLDEN.path(f"inputs/{ENTRY['inputs']}.safetensors"))
    expected = load_file(GOLDEN.path(f"{ENTRY['folder']}/{case['expected']}"))
    tuner = run(nodes["SCEditLoadSCTuner"], tuner_name=case["name"])
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, strength=case.get("scale", 1.0))
    out, _ = predict(styled, inputs)
    plain, _ = predict(model, inputs)
    assert (out - expected["out"]).abs().max() <= TOLERANCE
    assert (plain - expected["out"]).abs().max() > 100 * TOLERANCE


def test_an_encoder_tuner_acts_beside_others_within_its_window_and_not_at_strength_zero(
    nodes, model, names, tuner
):
    apply = nodes["SCEditApplySCTuner"]
    encoder = run(nodes["SCEditLoadSCTuner"], tuner_name="swift_encoder")
    plain, styled = sample(model), sample(run(apply, model=model, tuner=tuner))
    first = run(apply, model=run(apply, model=model, tuner=encoder), tuner=tuner)
    second = run(apply, model=run(apply, model=model, tuner=tuner), tuner=encoder)
    assert torch.equal(sample(first), sample(second))
    assert not torch.equal(sample(first), styled)
    silent = run(apply, model=model, tuner=encoder, strength=0.0)
    assert torch.equal(sample(silent), plain)
    early = sample(run(apply, model=model, tuner=encoder, end_percent=0.5))
    assert not torch.equal(early, plain)
    assert not torch.equal(early, sample(run(apply, model=model, tuner=encoder)))
    assert torch.equal(sample(model), plain)


def test_a_mask_and_a_batch_are_kept_apart_in_the_encoder(nodes, model, names):
    encoder = run(nodes["SCEditLoadSCTuner"], tuner_name="swift_encoder")
    mask = torch.stack([torch.zeros(128, 128), torch.ones(128, 128)])
    masked = run(nodes["SCEditApplySCTuner"], model=model, tuner=encoder, mask=mask)
    whole = run(nodes["SCEditApplySCTuner"], model=model, tuner=encoder)
    got, plain, edited = (sample(each, batch=2) for each in (masked, model, whole))
    assert torch.equal(got[0], plain[0])
    assert (got[1] - edited[1]).abs().max() < 1e-5
