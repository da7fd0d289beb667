"""The training nodes learn from a data set on disk as from lists of the same pictures."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import comfy.sd
import numpy as np
import pytest
import torch
from dataset_tools import HEAD, example, examples
from support import REPOSITORY, load_module
from training_node_tools import CSC, SC, cancelled_at, equal, train

from scedit_core.training.dataset.shards import Prepared, write_dataset
from scedit_core.training.dataset.shards.manifest import Head

pytestmark = pytest.mark.usefixtures("output")
SETTINGS = {"caption_dropout": 0.5, "accumulation": 2, "steps": 2}


@pytest.fixture(scope="module")
def checkpoint(sandbox_models) -> tuple[Any, Any]:
    """MODEL and CLIP of the sandbox's checkpoint."""
    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    path = sandbox_models / "checkpoints" / "scedit_sandbox.safetensors"
    model, clip, *_ = comfy.sd.load_checkpoint_guess_config(str(path))
    return model, clip


@pytest.fixture
def sc(nodes: dict[str, Any]) -> Any:
    """The node that trains styles, as a ComfyUI for CPUs has it.

    One for cards leaves this checkpoint's weights in fp16 for its dynamic patcher to cast, which stands aside
    where the device is a CPU: there ComfyUI's own sampling fails with them, too.
    """
    return nodes["SCEditTrainSCTuner"]


@pytest.fixture
def csc(nodes: dict[str, Any]) -> Any:
    """The node that trains controls, likewise."""
    return nodes["SCEditTrainCSCTuner"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Seven examples of two sizes, each with two hints, one of them with two drawings."""
    folder = tmp_path_factory.mktemp("my_set")
    write_dataset(folder, [example(9, drawings=2), *examples(6)], HEAD)
    return folder


@pytest.fixture
def hosted(pack, folder, checkpoint):
    """The data set as 'Prepare Dataset' gives it out, or another one."""

    def hosted(place: Path = folder, clip: Any = checkpoint[1]) -> Any:
        stored = pack.scedit_core.training.dataset.shards.open_dataset(place)
        return pack.nodes.sockets.HostedDataset(place, stored, clip)

    return hosted


def from_set(model: Any, *datasets: Any) -> dict[str, Any]:
    """Inputs of a training node."""
    return {"model": [model], "dataset": list(datasets)}


def as_lists(model: Any, dataset: Any) -> dict[str, Any]:
    """The same examples as lists."""
    found = [dataset.stored.read(number) for number in range(len(dataset.stored))]
    with torch.inference_mode():
        texts = {one.caption: dataset.clip.tokenize(one.caption, disable_weights=True) for one in found}
        encoded = {
            text: dataset.clip.encode_from_tokens_scheduled(tokens)
            for text, tokens in (texts | {"": dataset.clip.tokenize("")}).items()
        }
        positive = [[[c, {**known, **one.sizes}] for c, known in encoded[one.caption]] for one in found]
        images = [[hint.movedim(1, -1).float() / 255 for hint in one.hints] for one in found]
    return {
        "model": [model],
        "latents": [{"samples": one.latent[None].float()} for one in found],
        "positive": positive,
        "empty": [encoded[""]],
        "hints": {f"hint{kind}": [each[kind] for each in images] for kind in range(2)},
    }


def test_controls_come_out_as_from_lists_of_the_same_pictures(csc, checkpoint, hosted):
    model, dataset = checkpoint[0], hosted()
    first, _, steps, second, *_ = train(csc, from_set(model, dataset), CSC, name="set", **SETTINGS)
    wanted, _, _, other, *_ = train(csc, as_lists(model, dataset), CSC, name="lists", **SETTINGS)
    assert steps == 2
    assert equal(first, wanted)
    assert equal(second, other)


def test_a_style_leaves_the_hints_out(sc, checkpoint, hosted):
    model, dataset = checkpoint[0], hosted()
    inputs = as_lists(model, dataset)
    del inputs["hints"]
    tuner, *_ = train(sc, from_set(model, dataset), SC, name="set", **SETTINGS, preview_every=2)
    assert equal(tuner, train(sc, inputs, SC, name="lists", **SETTINGS)[0])


def test_a_cancelled_training_goes_on_to_the_same_control_and_leaves_no_thread(csc, checkpoint, hosted):
    inputs = from_set(checkpoint[0], hosted())
    straight, *_ = train(csc, inputs, CSC, name="straight", steps=2)
    cancelled_at(1, csc, inputs, CSC, name="broken", steps=2)
    assert not [each for each in threading.enumerate() if each.name.startswith("scedit-reads")]
    assert equal(train(csc, from_set(checkpoint[0], hosted()), CSC, name="broken", steps=2)[0], straight)


def written(folder: Path, count: int = 1, **head: Any) -> Path:
    """A data set without hints, or with other things in its head."""
    told = {"resolution": 64, "buckets": True, "hints": (), "vae": "a VAE", "latent_channels": 4, **head}
    latent = np.zeros((told["latent_channels"], 8, 8), np.float16)
    plain = example(0)
    hints = plain.hints[:1] * len(told["hints"])
    rows = [Prepared(f"{n}.png", 0, latent, "cat", hints, plain.sizes) for n in range(count)]
    write_dataset(folder, rows, Head(**told))
    return folder


class OtherClip:
    """The CLIP of another model."""

    patcher = None

    def tokenize(self, text: str, **_: Any) -> str:
        return text

    def encode_from_tokens_scheduled(self, _tokens: str) -> list[Any]:
        return [[torch.zeros(1, 7, 3), {}]]


BAD = {
    "a data set and lists": (
        lambda hosted, path: {"dataset": [hosted()], **lists_of(hosted)},
        ["latents and positive too", "one data set alone"],
    ),
    "a data set and hints": (
        lambda hosted, path: {"dataset": [hosted()], "hints": {"hint0": [torch.zeros(1, 64, 64, 3)]}},
        ["hints too", "one data set alone"],
    ),
    "two data sets": (lambda hosted, path: {"dataset": [hosted()] * 2}, ["2 of them", "one data set alone"]),
    "nothing": (lambda hosted, path: {}, ["connect latents and positive", "'Prepare Dataset'"]),
    "latents alone": (
        lambda hosted, path: {"latents": lists_of(hosted)["latents"]},
        ["connect positive, such as those of 'Training Folder'"],
    ),
    "another model's latents": (
        lambda hosted, path: {"dataset": [hosted(written(path, latent_channels=16))]},
        ["'a_set'", "16 channels", "learns from 4", "VAE of the model"],
    ),
    "another model's CLIP": (
        lambda hosted, path: {"dataset": [hosted(clip=OtherClip())]},
        ["(1, 7, 3)", "CLIP of the model"],
    ),
    "no CLIP": (
        lambda hosted, path: {"dataset": [hosted(clip=None)]},
        ["'my_set", "without a CLIP", "connect clip"],
    ),
    "no pictures": (
        lambda hosted, path: {"dataset": [hosted(written(path, count=0, hints=("canny",)))]},
        ["holds no pictures"],
    ),
    "no hints": (lambda hosted, path: {"dataset": [hosted(written(path))]}, ["'a_set'", "holds no hints"]),
    "more hints than controls": (
        lambda hosted, path: {"dataset": [hosted(written(path, hints=tuple("abcde")))]},
        ["5 kinds of hint", "at most 4"],
    ),
    "something else": (lambda hosted, path: {"dataset": [5]}, ["data set of 'Prepare Dataset'", "got 5"]),
}


def lists_of(hosted: Any) -> dict[str, Any]:
    """Latents and captions of two pictures."""
    latents = [{"samples": torch.zeros(1, 4, 8, 8)}] * 2
    return {"latents": latents, "positive": [[[torch.zeros(1, 7, 64), {}]]]}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_learnt_from_is_refused_before_anything_is_written(
    case, pack, csc, checkpoint, hosted, tmp_path, output
):
    make, words = BAD[case]
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        train(csc, {"model": [checkpoint[0]], **make(hosted, tmp_path / "a_set")}, CSC)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)
    assert not [file for file in output.rglob("*") if file.is_file()]


def test_a_data_set_with_pictures_of_several_sizes_needs_buckets(sc, checkpoint, hosted):
    with pytest.raises(ValueError, match=r"64 x 64, 128 x 64.* buckets are off"):
        train(sc, from_set(checkpoint[0], hosted()), SC, buckets=False)


def test_captions_are_encoded_once_and_not_all_are_kept(pack, checkpoint):
    stored = pack.nodes.training.stored
    told = [stored.Told(f"caption {n}", (("width", n),)) for n in range(stored._MOST_TEXTS + 9)]
    calls = []

    class Clip(OtherClip):
        def encode_from_tokens_scheduled(self, text: str) -> list[Any]:
            calls.append(text)
            return [[torch.zeros(1, 7, 64), {"pooled_output": 1}]]

    encode = stored.TextEncoder(Clip(), checkpoint[0])
    first, again = encode(told[:3]), encode(told[:3])
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * 3
    assert first[2][1] == {"pooled_output": 1, "width": 2}
    encode(told)
    assert len(calls) == len(told)
    assert len(encode._texts) == len(encode._captions) == stored._MOST_TEXTS
