"""Evaluate Tuner: planted faults are told from a good tuner, each by its sentence, and figures repeat."""

from __future__ import annotations

import json
from typing import Any

import comfy.model_management
import folder_paths
import pytest
import torch
from evaluation_tools import SIZE, changed, evaluated, lists, of_a_twin, shuffled, zeroed
from host_tools import cancelled_at_look, load, run
from invariants import look, weights_of

from scedit_core.evaluation.record import record_of

BASE = {"scedit.base": "SD15", "scedit.prediction": "eps"}


@pytest.fixture(scope="module")
def good(node, checkpoint, scenes, tuner_of):
    """What the node says of the sandbox's canny control."""
    return evaluated(node, checkpoint, {**scenes, "control": [tuner_of("canny_control")]})


def verdict_of(output: Any) -> str:
    """The sentence."""
    return output.args[3]


def test_a_good_control_is_told_to_follow_its_hints(good):
    said = json.loads(good.args[4])
    figures = said["figures"]["edge_f1"]
    on, off, other = (figures[way]["mean"] for way in ("on", "off", "shuffled"))
    assert on > 0.75 > 0.3 > max(off, other)
    assert figures["pictures"]["mean"] > 0.9
    assert verdict_of(good) == (
        f"follows edges: F1 {on:.2f}, {off:.2f} without, {other:.2f} with other pictures' edges"
    )
    losses = [{way: row[way] for way in ("on", "off", "shuffled")} for row in said["losses"].values()]
    assert all(row["on"] < min(row["off"], row["shuffled"]) for row in losses)


def test_figures_repeat_exactly(node, checkpoint, scenes, tuner_of, good):
    again = evaluated(node, checkpoint, {**scenes, "control": [tuner_of("canny_control")]})
    assert again.args[4] == good.args[4]
    assert torch.equal(again.args[2], good.args[2])


FAULTS = {
    "zero tuner": (zeroed, {}, "does nothing: pictures with it are those without it, bit for bit ("),
    "shuffled weights": (shuffled, {}, "harms the picture: denoising loss "),
    "another base, by its file": (
        of_a_twin,
        BASE,
        "made for another base model: it was trained on SD15 (eps)",
    ),
}


@pytest.mark.parametrize(("change", "metadata", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_tuners_that_do_not_work_are_told(node, pack, checkpoint, scenes, tuner_of, change, metadata, said):
    control = changed(pack, tuner_of("canny_control"), change, **metadata)
    # what they do to the losses tells them, whatever the number of steps
    verdict = verdict_of(evaluated(node, checkpoint, {**scenes, "control": [control]}, steps=1))
    assert verdict.startswith(said)
    assert "F1 0.0" in verdict


def test_an_inverted_hint_is_told(node, checkpoint, scenes, tuner_of):
    inverted = {**scenes, "hints": [1 - hint for hint in scenes["hints"]]}
    output = evaluated(node, checkpoint, {**inverted, "control": [tuner_of("canny_control")]})
    assert verdict_of(output).startswith("follows edges only where black and white are exchanged: F1 0.")
    assert verdict_of(output).endswith("give it hints of the other polarity")


def test_hints_that_lie_beside_their_pictures_are_told(node, checkpoint, scenes, tuner_of):
    moved = {**scenes, "hints": [torch.roll(hint, 16, 2) for hint in scenes["hints"]]}
    output = evaluated(node, checkpoint, {**moved, "control": [tuner_of("canny_control")]})
    assert verdict_of(output).startswith("follows edges: F1 0.")
    assert verdict_of(output).endswith(
        "the hints lie 16 pixels to the right of what their own pictures show: make them anew"
    )


def test_a_control_that_learnt_from_moved_hints_is_told(node, checkpoint, scenes, tuner_of):
    control = tuner_of("canny_control")

    def moved(_module: Any, given: Any) -> Any:
        return torch.roll(given[0], 16, -1), *given[1:]

    control.patcher.model.hint_encoder.register_forward_pre_hook(moved)
    output = evaluated(node, checkpoint, {**scenes, "control": [control]})
    assert verdict_of(output).startswith("follows edges, but 1")
    right, down = json.loads(output.args[4])["shift"]
    assert (abs(right - 16) <= 2, down) == (True, 0)


def test_a_style_is_held_to_its_pictures_and_the_figures_come_with_it(node, checkpoint, tuner_of):
    night = lists(checkpoint, count=1)
    night["latents"] = [{"samples": checkpoint[2].encode(torch.full((1, SIZE, SIZE, 3), 0.12))}]
    output = evaluated(node, checkpoint, {**night, "tuner": [tuner_of("night")]}, steps=2, pictures=1)
    assert verdict_of(output).startswith("brings the style: distance ")
    assert output.args[0].metadata["scedit.eval.verdict"] == verdict_of(output)
    assert record_of(output.args[0].metadata).kind == "style"


def test_what_a_net_is_missing_for_is_left_out_and_said(node, checkpoint, scenes, tuner_of):
    control = tuner_of("depth_control")
    output = evaluated(node, checkpoint, {**scenes, "control": [control]}, steps=1, pictures=1)
    said = json.loads(output.args[4])
    assert (said["kind"], said["figures"]) == ("depth", {})
    assert "RMSE: the net for it cannot run here; 'Depth Hint' says why" in said["left_out"]
    assert str(folder_paths.models_dir) not in output.args[4]
    assert "denoising loss" in verdict_of(output)


@pytest.mark.usefixtures("output")
def test_a_saved_tuner_keeps_its_figures_and_tuner_info_shows_them(nodes, good, tuner_of):
    labelled = good.args[1]
    assert labelled.patcher.model.spec == tuner_of("canny_control").patcher.model.spec
    name = run(
        nodes["SCEditSaveTuner"], tuner=labelled, name="measured", if_exists="replace it", dtype="fp16"
    )
    loaded = run(nodes["SCEditLoadCSCTuner"], tuner_name=name)
    assert record_of(loaded.metadata) == record_of(labelled.metadata)
    text = run(nodes["SCEditTunerInfo"], tuner_name=name)
    assert f"\nmeasured: {verdict_of(good)}\nfigures: F1 0." in text
    assert "scedit.eval" not in text


def test_a_cancelled_evaluation_ends_after_its_step_and_leaves_the_model_as_it_is(
    node, checkpoint, scenes, tuner_of
):
    before, weights = look(checkpoint[0]), weights_of(checkpoint[0])
    with cancelled_at_look(3) as looks, pytest.raises(comfy.model_management.InterruptProcessingException):
        evaluated(node, checkpoint, {**scenes, "control": [tuner_of("canny_control")]})
    assert len(looks) == 3
    assert (look(checkpoint[0]), weights_of(checkpoint[0])) == (before, weights)


def test_a_picture_alone_and_no_empty_prompt_are_said(node, checkpoint, scenes, tuner_of):
    alone = {name: values[:1] for name, values in scenes.items() if name != "empty"}
    control = tuner_of("color_control")
    output = evaluated(node, checkpoint, {**alone, "control": [control]}, steps=1, cfg=3.0)
    said = json.loads(output.args[4])
    assert [one.split(":")[0] for one in said["left_out"]] == [
        "CLIP score and FID",
        "hints of other pictures",
        "cfg",
    ]
    assert said["figures"]["color_error"].keys() == {"on", "off", "pictures"}


def refused(node: Any, pack: Any, checkpoint: Any, data: Any, **inputs: Any) -> str:
    """The sentence of a refusal."""
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        evaluated(node, checkpoint, data, **inputs)
    return str(caught.value)


def test_what_cannot_be_measured_is_refused_in_a_sentence(node, pack, nodes, checkpoint, scenes, tuner_of):
    canny_control, night = tuner_of("canny_control"), tuner_of("night")
    control = load(nodes, "SCEditLoadCSCTuner", "csc_k1")
    without = {name: values for name, values in scenes.items() if name != "hints"}
    for data, words in (
        (scenes, "one tuner is measured at a time, got 0"),
        ({**scenes, "control": [canny_control], "tuner": [night]}, "one tuner is measured at a time, got 2"),
        ({**without, "control": [canny_control]}, "no hints came in"),
        ({"control": [canny_control]}, "connect latents and positive"),
        ({**scenes, "hints": scenes["hints"][:1], "control": [canny_control]}, "hint0 has 1 images for 2"),
        ({**scenes, "control": [control]}, "was made for a U-Net with skips"),
    ):
        assert words in refused(node, pack, checkpoint, data)
