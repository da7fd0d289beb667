"""Edited skips against the authors' own, case by case."""

import pytest
import torch
from safetensors.torch import load_file
from support import GOLDEN

from scedit_core import SkipEdit, edit_skip, load_checkpoint, prepare_edit

# max |difference| to values made in float32 by other but equal sums
TOLERANCE = 5e-5


def features_of(case: dict) -> list[str]:
    """Names of the hint features that the authors' code recorded for a case."""
    return [name for name in case["tensors"] if name.startswith("hint_feature.")]


CASES_WITH_FEATURES = [case for case in GOLDEN.cases() if features_of(case)]


def case_edits(golden, case: dict, inputs: dict) -> list[SkipEdit]:
    """The edits of a case. Stacked SC-Tuners act at strength 1: the authors scale the stack as a whole."""
    style = case.get("sc") or {"tuners": []}
    is_stack = len(style["tuners"]) > 1
    edits = [
        SkipEdit(load_checkpoint(golden.tuner(name)), 1.0 if is_stack else style["tuner_scale"])
        for name in style["tuners"]
    ]
    for control in case["controls"]:
        hint = inputs[control["hint"]][: case["hint_items"]]
        strength = case["control_scale"] * control["scale"]
        edits.append(SkipEdit(load_checkpoint(golden.tuner(control["tuner"])), strength, hint=hint))
    return edits


def expected_skip(case: dict, expected: dict, inputs: dict, block: int) -> torch.Tensor:
    """The authors' edited skip: linear where they ignore strengths above 1, a stack at strength 1."""
    edited = expected.get(f"linear.edited.{block}", expected[f"edited.{block}"])
    if case["formula"] == "SC_STACK":
        skip = inputs[f"skip.{block}"]
        return skip + (edited - skip) / case["sc"]["tuner_scale"]
    return edited


def test_edited_skips_equal_the_authors(golden, golden_case):
    inputs = load_file(golden.path(f"inputs/{golden_case['inputs']}.safetensors"))
    expected = load_file(golden.path(golden_case["expected"]))
    x = inputs["x"]
    with torch.inference_mode():
        edits = [prepare_edit(e, *x.shape[-2:], x) for e in case_edits(golden, golden_case, inputs)]
        for block in range(sum(name.startswith("skip.") for name in inputs)):
            edited = edit_skip(inputs[f"skip.{block}"], block, edits, torch.arange(len(x)))
            wanted = expected_skip(golden_case, expected, inputs, block)
            assert (edited - wanted).abs().max() <= TOLERANCE, f"block {block}"


@pytest.mark.parametrize("case", CASES_WITH_FEATURES, ids=[case["name"] for case in CASES_WITH_FEATURES])
def test_hint_features_equal_the_authors(golden, case):
    inputs = load_file(golden.path(f"inputs/{case['inputs']}.safetensors"))
    expected = load_file(golden.path(case["expected"]))
    controls = [e for e in case_edits(golden, case, inputs) if e.hint is not None]
    for name in features_of(case):
        control, input_block = map(int, name.split(".")[1:])
        encoded = controls[control].tuners.hint_encoder(controls[control].hint)
        got = encoded[len(encoded) - 1 - input_block]
        assert (got - expected[name]).abs().max() <= TOLERANCE, name
