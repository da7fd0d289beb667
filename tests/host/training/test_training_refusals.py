"""Inputs that the training nodes refuse before they write anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_node_tools import CSC, SC, hints, lists, train

pytestmark = pytest.mark.usefixtures("output")


def changed(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same inputs with some replaced by what a function makes of them."""
    return data | {name: make(data.get(name)) for name, make in changes.items()}


BAD = {
    "no pictures": ({"latents": lambda x: []}, {}, ["no pictures"]),
    "no captions": ({"positive": lambda x: []}, {}, ["no captions"]),
    "captions missing": ({"positive": lambda x: x[:3]}, {}, ["3 captions for 4 pictures"]),
    "video": ({"latents": lambda x: [{"samples": torch.zeros(1, 4, 2, 8, 8)}]}, {}, ["video"]),
    "another model's latents": (
        {"latents": lambda x: [{"samples": torch.zeros(1, 16, 8, 8)}] * 4},
        {},
        ["(1, 16, 8, 8)", "4 channels", "VAE of the model"],
    ),
    "one latent pixel": (
        {"latents": lambda x: [{"samples": torch.zeros(1, 4, 1, 1)}] * 4},
        {},
        ["(1, 4, 1, 1)", "2 x 2 or more"],
    ),
    "another model's captions": (
        {"positive": lambda x: [[[torch.zeros(1, 7, 3), {}]]] * 4},
        {},
        ["(1, 7, 3)", "CLIP of the model"],
    ),
    "captions of NaN": (
        {"positive": lambda x: [[[x[0][0][0] * torch.nan, {}]]] * 4},
        {},
        ["holds NaN", "CLIP of the model"],
    ),
    "an empty prompt of nothing": ({"empty": lambda x: [[]]}, {}, ["holds no caption"]),
    "rate NaN": ({}, {"learning_rate": float("nan")}, ["learning_rate", "finite", "nan"]),
    "a name that is no text": ({}, {"name": 5}, ["name takes a text", "got 5"]),
    "ratio almost 0": ({}, {"ratio": 5e-324}, ["ratio", "0.1 or more"]),
    "not finite": (
        {"latents": lambda x: [{"samples": torch.nan * x[0]["samples"]}, *x[1:]]},
        {},
        ["latent 1"],
    ),
    "no rate": ({}, {"learning_rate": 0.0}, ["learning_rate", "5e-05"]),
    "ratio too large": ({}, {"ratio": 1e6}, ["ratio", "up to 32"]),
    "no such block": ({}, {"blocks": "0, 6"}, ["0 to 5", "[0, 6]"]),
    "blocks in words": ({}, {"blocks": "all"}, ["numbers such as", "'all'"]),
    "dropout without empty": ({}, {"caption_dropout": 0.1}, ["empty prompt"]),
    "name that leads out": ({}, {"name": "../../style"}, ["is no name"]),
    "absolute name": ({}, {"name": "C:/style"}, ["is no name"]),
    "no name": ({}, {"name": " "}, ["is no name"]),
    "mixed sizes": (
        {"latents": lambda x: [{"samples": torch.zeros(1, 4, 8, 8)}, *x[1:]]},
        {"buckets": False},
        ["64 x 64, 128 x 128", "buckets"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_in_a_sentence_before_anything_is_written(case, pack, sc, model, output):
    changes, settings, words = BAD[case]
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        train(sc, changed(lists(model), **changes), SC | settings)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert not [file for file in output.rglob("*") if file.is_file()]


def test_a_control_without_hints_is_refused_in_a_sentence(csc, model):
    with pytest.raises(ValueError, match=r"no hints came in: connect .* 'Training Folder'"):
        train(csc, lists(model) | {"hints": {"hint0": []}}, CSC)


@pytest.mark.parametrize(
    ("count", "controls", "words"),
    [(3, None, ["hint0 has 3 images for 4 pictures"]), (4, 2, ["2 tuners to start from", "1 kinds of hint"])],
)
def test_hints_that_match_nothing_are_refused_in_a_sentence(
    count, controls, words, pack, csc, model, control, output
):
    data = lists(model) | {
        "hints": {"hint0": hints(count)},
        "control": [control] * controls if controls else None,
    }
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        train(csc, data, CSC)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert not [file for file in output.rglob("*") if file.is_file()]


def test_a_model_without_skips_is_refused_in_a_sentence(sc, model):
    transformer = SimpleNamespace(
        model=SimpleNamespace(model_config=SimpleNamespace(unet_config={"image_model": "flux"}))
    )
    with pytest.raises(ValueError, match="no U-Net skip connections"):
        train(sc, lists(model) | {"model": [transformer]})
