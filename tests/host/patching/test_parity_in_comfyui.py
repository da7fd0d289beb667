"""The authors' U-Net outputs, reproduced by ComfyUI's own U-Net with our nodes applied."""

import pytest
import torch
from host_tools import load, run, tiny_model
from safetensors.torch import load_file
from support import GOLDEN, case_tuners

# the authors' normalisation has another epsilon than ComfyUI's: 1e-5 on the plain output
TOLERANCE = 5e-5

CASES = [
    case for case in GOLDEN.cases() if GOLDEN.path(GOLDEN.index["unets"][case["unet"]]["file"]).is_file()
]


def apply_case(nodes, model, case, inputs):
    """The case's tuners in a MODEL, through the node classes."""
    style = case.get("sc") or {"tuners": []}
    strength = 1.0 if len(style["tuners"]) > 1 else (case.get("sc") or {}).get("tuner_scale")
    for name in style["tuners"]:
        tuner = load(nodes, "SCEditLoadSCTuner", name)
        model = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, strength=strength)
    rows = {}
    for number, control in enumerate(case["controls"]):
        hint = inputs[control["hint"]][: case["hint_items"]].movedim(1, -1)
        loaded = load(nodes, "SCEditLoadCSCTuner", control["tuner"])
        rows[f"condition{number}"] = run(
            nodes["SCEditCondition"], control=loaded, image=hint, weight=control["scale"]
        )
    if rows:
        bundle = run(nodes["SCEditComposeConditions"], conditions=rows, normalize=False)
        apply = nodes["SCEditApplyConditions"]
        model = run(apply, model=model, conditions=bundle, strength=case["control_scale"])
    return model


def predict(model, inputs):
    """Output of ComfyUI's U-Net and the skips its output blocks got."""
    skips = {}

    def record(h, skip, options):
        skips[options["block"][1]] = skip
        return h, skip

    model = model.clone()
    model.set_model_output_block_patch(record)
    options = {**model.model_options["transformer_options"], "sigmas": torch.ones(1)}
    with torch.inference_mode():
        unet = model.model.diffusion_model
        out = unet(inputs["x"], inputs["timesteps"], inputs["context"], transformer_options=options)
    return out, skips


@pytest.fixture(scope="module")
def models(host_mode):
    """MODELs around the golden U-Nets that the cases use."""
    return {name: tiny_model(name) for name in {case["unet"] for case in CASES}}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_comfyui_with_our_nodes_gives_the_authors_output(nodes, models, case):
    inputs = load_file(GOLDEN.path(f"inputs/{case['inputs']}.safetensors"))
    expected = load_file(GOLDEN.path(case["expected"]))
    is_stack = len(case_tuners(case)) > 1 and case["formula"] == "SC_STACK"
    out, skips = predict(apply_case(nodes, models[case["unet"]], case, inputs), inputs)
    if not is_stack:  # the authors scale a stack as a whole, which changes the output in no simple way
        assert (out - expected.get("linear.out", expected["out"])).abs().max() <= TOLERANCE
    for block, skip in skips.items():
        wanted = expected.get(f"linear.edited.{block}", expected[f"edited.{block}"])
        if is_stack:
            plain = inputs[f"skip.{block}"]
            wanted = plain + (wanted - plain) / case["sc"]["tuner_scale"]
        assert (skip - wanted).abs().max() <= TOLERANCE, f"block {block}"


@pytest.mark.parametrize("name", sorted({case["inputs"] for case in CASES}))
def test_comfyui_without_nodes_gives_the_authors_plain_output(models, name):
    inputs = load_file(GOLDEN.path(f"inputs/{name}.safetensors"))
    out, _ = predict(models[GOLDEN.index["inputs"][name]["unet"]], inputs)
    assert (out - inputs["out_plain"]).abs().max() <= TOLERANCE
