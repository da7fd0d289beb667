"""A model draws its own training pictures: as a KSampler would, each by its number alone."""

from __future__ import annotations

import sys
from typing import Any

import comfy.model_management
import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from host_tools import cancelled_at_look, tiny_model
from PIL import Image
from test_training_identity import free
from training_node_tools import CSC, SC, train

import nodes as comfy_nodes

PROMPTS = "a (red:1.4) circle\n\n  # not this one\n a blue star on snow \n"
LINES = ("a (red:1.4) circle", "a blue star on snow")
SMALL = {"width": 64, "height": 64, "steps": 2, "cfg": 3.0, "negative": "a house"}
QUICK = {"steps": 1, "batch_size": 1, "ratio": 4.0, "when_state_exists": "start over"}
SIZES = {"width": 96, "height": 64, "crop_w": 0, "crop_h": 0, "target_width": 96, "target_height": 64}


@pytest.fixture
def draw(nodes: dict[str, Any], checkpoint_parts: dict[str, Any]) -> Any:
    """Draws with the sandbox's model: all outputs, and what is shown."""

    def drawn(**widgets: Any) -> Any:
        given = checkpoint_parts | {"prompts": PROMPTS, "count": 1} | SMALL | widgets
        with torch.inference_mode():
            return nodes["SCEditDrawPictures"].execute(**given)

    return drawn


def sampled(parts: dict[str, Any], text: str, seed: int) -> torch.Tensor:
    """What ComfyUI's own nodes draw."""
    encode = comfy_nodes.CLIPTextEncode().encode
    with torch.inference_mode():
        positive, negative = (encode(parts["clip"], one)[0] for one in (text, SMALL["negative"]))
        empty = comfy_nodes.EmptyLatentImage().generate(SMALL["width"], SMALL["height"])[0]
        how = (SMALL["steps"], SMALL["cfg"], "euler_ancestral", "karras")  # draws noise in its steps too
        latent = comfy_nodes.common_ksampler(parts["model"], seed, *how, positive, negative, empty)[0]
    return latent["samples"]


def same(first: list[Any], second: list[Any]) -> bool:
    return all(torch.equal(a["samples"], b["samples"]) for a, b in zip(first, second, strict=True))


def test_every_picture_is_that_of_a_ksampler_with_its_own_seed(draw, checkpoint_parts):
    result = draw(seed=7, sampler_name="euler_ancestral", scheduler="karras")
    latents, _, _, hints, report, pictures = result.args
    wanted = [sampled(checkpoint_parts, text, seed) for text, seed in zip(LINES, (7, 8), strict=True)]
    assert same(latents, [{"samples": one} for one in wanted])
    assert hints == []
    with torch.inference_mode():
        shown = [checkpoint_parts["vae"].decode(one).clamp(0, 1) for one in wanted]
    assert all((a - b).abs().max() < 0.51 / 255 for a, b in zip(pictures, shown, strict=True))
    assert report == "2 pictures of 64 x 64\nprompts: 2, with 1 each\nseeds: 7 to 8\nhints: none"
    assert result.ui["text"] == (report,)
    assert len(result.ui["images"]) == 2


def test_a_picture_is_the_same_whatever_is_drawn_beside_it(draw):
    once, twice, alone, other = (
        draw(vae=None, steps=1, **asked).args[0]
        for asked in ({}, {"count": 2}, {"prompts": LINES[0]}, {"prompts": LINES[0], "seed": 5})
    )
    assert same(once, twice[:2])
    assert same(once[:1], alone)
    assert not same(once, twice[2:])
    assert not same(alone, other)


def test_captions_carry_what_sdxl_is_told_of_a_picture(draw, checkpoint_parts):
    latents, positive, empty, *_ = draw(width=96, count=2, steps=1, vae=None).args
    assert [tuple(latent["samples"].shape) for latent in latents] == [(1, 4, 8, 12)] * 4
    assert [{name: entry[0][1][name] for name in SIZES} for entry in positive] == [SIZES] * 4
    clip = checkpoint_parts["clip"]
    with torch.inference_mode():
        texts = [comfy_nodes.CLIPTextEncode().encode(clip, text)[0] for text in (*LINES, "")]
    assert all(torch.equal(positive[n][0][0], texts[n % 2][0][0]) for n in range(4))
    assert torch.equal(empty[0][0], texts[2][0][0])
    assert "width" not in empty[0][1]


def test_without_a_vae_there_are_latents_alone(draw):
    result = draw(vae=None)
    latents, _, _, hints, _, pictures = result.args
    assert same(latents, draw().args[0])
    assert hints == []
    assert isinstance(pictures, ExecutionBlocker)
    assert result.ui.keys() == {"text"}


@pytest.mark.parametrize("kind", ["canny", "masked image"])
def test_hints_are_those_of_a_folder_with_these_pictures(
    draw, nodes, checkpoint, tmp_path, monkeypatch, kind
):
    pytest.importorskip("cv2")
    asked = {"hint": kind, "hint_variants": 2, "seed": 3}
    latents, _, _, hints, report, pictures = draw(**asked, steps=4).args
    folder = tmp_path / "set"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray((picture[0] * 255).round().byte().numpy()).save(folder / f"{number}.png")
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    given = {"folder": "set", "resolution": 64, "caption_when_missing": "a", **checkpoint, **asked}
    with torch.inference_mode():
        read = nodes["SCEditTrainingFolder"].execute(**given).args
    assert all(torch.equal(a, b) for a, b in zip(hints, read[3], strict=True))
    assert report.endswith(f"hints: {kind}, 2 per picture")
    # both are at the VAE's scale: what is drawn need not be encoded again
    for own, encoded in zip(latents, read[0], strict=True):
        assert torch.dist(own["samples"], encoded["samples"]) < 0.3 * own["samples"].norm()


@pytest.mark.usefixtures("output")
def test_a_teacher_teaches_by_these_pictures(draw, nodes, checkpoint_parts):
    latents, positive, empty, hints, *_ = draw(hint="color", count=2, prompts=LINES[1]).args
    model = checkpoint_parts["model"]
    data = {"model": [model], "latents": latents, "positive": positive, "empty": [empty]}

    def loss(kind: str, teacher: Any, settings: Any, **more: Any) -> float:
        given = data | {"teacher": [teacher]} | more
        tuner, *_ = train(nodes[f"SCEditTrain{kind}Tuner"], given, settings, name=kind, **QUICK)
        return float(tuner.metadata["scedit.train.loss"])

    assert loss("SC", free(1.3)(model), SC) > 1e-5
    assert loss("CSC", model, CSC, hints={"hint0": hints}) < 1e-9  # a teacher that is the student


BAD = {
    "no prompt": ({"prompts": " \n# a cat"}, "there is no prompt"),
    "too many": ({"prompts": "a\n" * 12, "count": 1000}, "12,000 pictures, and a list holds at most 10,000"),
    "no step of 8": ({"width": 100}, "width is 64 pixels or more, in steps of 8, got 100"),
    "too small": ({"height": 56}, "height is a whole number from 64 to 4096, got 56"),
    "a hint and no VAE": ({"hint": "canny", "vae": None}, "there is no VAE to see it by; connect vae"),
    "ready hints": ({"hint": "from folder"}, "hint is one of none, canny"),
    "no room": ({"count": 1000, "width": 4096, "height": 4096}, "GB of memory and"),
    "another CLIP": ({"model": "tiny"}, "encode the captions with the CLIP of the model"),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_drawn_is_refused_before_it_is_tried(draw, pack, monkeypatch, given, words):
    monkeypatch.setattr(pack.nodes.training.drawing, "painted", None)
    given = {name: tiny_model() if value == "tiny" else value for name, value in given.items()}
    with pytest.raises(pack.scedit_core.SCEditError, match=words):
        draw(**given)


def test_opencv_is_missed_before_anything_is_drawn(draw, pack, monkeypatch):
    monkeypatch.setattr(pack.nodes.training.drawing, "painted", None)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(pack.scedit_core.SCEditError, match="OpenCV cannot be imported"):
        draw(hint="canny")


@pytest.mark.parametrize("look", [2, 6, 10])  # while it reads prompts, draws and decodes
def test_cancel_stops_it_wherever_it_is(draw, look):
    stopped = pytest.raises(comfy.model_management.InterruptProcessingException)
    with cancelled_at_look(look) as looks, stopped:
        draw(hint="color")
    assert len(looks) == look
