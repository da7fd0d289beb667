"""No value that a prompt or another pack's node may bring ends in anything but a result or a sentence.

SCEDIT_ODD_VALUES_SEED draws other values than the usual ones, SCEDIT_ALL_ODD_VALUES=1 takes all of them.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from dataset_tools import write
from detector_tools import weight_file
from executor_tools import OMITTED, Executor
from host_tools import as_found, load, picture, tiny_model
from odd_values import cases
from PIL import Image
from support import GOLDEN, REPOSITORY, load_module

PER_NODE = 40  # of the cases of a node
SEED = int(os.environ.get("SCEDIT_ODD_VALUES_SEED", "0"))
ALL = os.environ.get("SCEDIT_ALL_ODD_VALUES") == "1"  # some 10,000 cases


# latents, captions and hints are given in place of a data set; a prompt without controls teaches nothing
NOT_GIVEN = {
    **{
        f"SCEditTrain{kind}Tuner.{name}": OMITTED
        for kind in ("SC", "CSC")
        for name in ("dataset", "teacher_positive")
    },
    "SCEditEvaluateTuner.dataset": OMITTED,
    "SCEditEvaluateTuner.tuner": OMITTED,
    # a prompt that is a tensor has no words to hold pictures to
    "SCEditEvaluateTuner.clip_vision": OMITTED,
    "SCEditEvaluateTuner.clip_text": OMITTED,
}
DRAWN = {  # by the sandbox's model, whose CLIP there is
    "SCEditDrawPictures.prompts": "a house",
    "SCEditDrawPictures.count": 1,
    "SCEditDrawPictures.width": 64,
    "SCEditDrawPictures.height": 64,
}
ENDINGS = ("done", "cancelled", "refused", "the host")


@pytest.fixture(scope="module")
def sandbox(sandbox_models: Path) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the sandbox, which belong together."""
    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    path = sandbox_models / "checkpoints" / "scedit_sandbox.safetensors"
    return comfy.sd.load_checkpoint_guess_config(str(path))[:3]


@pytest.fixture(scope="module")
def things(
    pack: Any,
    nodes: dict[str, Any],
    sandbox: tuple[Any, Any, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """A good value of each type that only nodes make."""
    model = tiny_model()
    tuner, control = load(nodes, "SCEditLoadSCTuner", "sc_full"), load(nodes, "SCEditLoadCSCTuner", "csc_k1")
    _, clip, vae = sandbox
    width = model.model.model_config.unet_config["context_dim"]
    condition = pack.nodes.compose.Condition(control, picture(32, 32))
    prepared = write(tmp_path_factory.mktemp("data") / "set", 2)
    stored = pack.scedit_core.training.dataset.shards.open_dataset(prepared)
    return {
        "MODEL": model, "CLIP": clip, "VAE": vae, "SCEDIT_TUNER": tuner, "SCEDIT_CONTROL": control,
        "SCEDIT_CONDITION": (condition,), "IMAGE": picture(32, 32), "MASK": torch.ones(1, 32, 32),
        "SCEDIT_DATASET": pack.nodes.sockets.HostedDataset(prepared, stored),
        "LATENT": {"samples": torch.zeros(1, 4, 4, 4)}, "CONDITIONING": [[torch.zeros(1, 7, width), {}]],
    }  # fmt: skip


def two_gigabytes(_device: Any = None, torch_free_too: bool = False) -> Any:
    """A computer with little memory free."""
    return (2e9, 2e9) if torch_free_too else 2e9


@pytest.fixture(scope="module")
def executor(
    pack: Any,
    nodes: dict[str, Any],
    things: dict[str, Any],
    sandbox: tuple[Any, Any, Any],
    sandbox_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Executor]:
    """The executor, with short settings where the defaults take long, on a small computer."""
    base, weights = tmp_path_factory.mktemp("odd"), pack.nodes.files.folders.annotator_folder()
    folder = base / "input" / "set"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "a.txt").write_text("a picture")
    weight_file(weights, "ControlNetHED.pth")
    job = base / "output" / "scedit_jobs" / "edges"
    job.mkdir(parents=True)
    (job / "job.toml").touch()
    small = {
        "folder": "set", "tuner_name": GOLDEN.tuner("sc_full").name, "resolution": 64, "steps": 1,
        "ratio": 4.0, "accumulation": 1, "width": 32, "height": 32,
        "SCEDIT_TUNER,SCEDIT_CONTROL": things["SCEDIT_TUNER"],
        "SCEditLoadCSCTuner.tuner_name": GOLDEN.tuner("csc_k1").name,
        "checkpoint": "scedit_sandbox.safetensors", "job": job.name,
        "SCEditDrawPictures.model": sandbox[0], **DRAWN, **NOT_GIVEN,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_paths, "input_directory", str(folder.parent))
        patch.setattr(folder_paths, "output_directory", str(base / "output"))
        patch.setattr(comfy.model_management, "get_free_memory", two_gigabytes)
        places = ([str(sandbox_models / "checkpoints")], {".safetensors"})
        patch.setitem(folder_paths.folder_names_and_paths, "checkpoints", places)
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        patch.setenv("HF_HUB_CACHE", str(base / "cache"))
        running = Executor(nodes, {**things, **small})
        with as_found(Path(folder_paths.models_dir, "scedit")):
            yield running
        running.close()
    for file in weights.iterdir():
        file.unlink()


# nodes that say in a sentence which weights they miss
WITHOUT_WEIGHTS = {"SCEditDepth", "SCEditPose", "SCEditSegmentation"}


def test_good_values_bring_results(executor, nodes):
    endings = {name: executor.outcome(executor.good_case(node), 60) for name, node in nodes.items()}
    assert endings == {name: "refused" if name in WITHOUT_WEIGHTS else "done" for name in nodes}


def test_every_odd_value_ends_in_a_result_or_a_sentence(executor, nodes, things):
    logging.disable()  # the host writes a traceback for each
    draw = random.Random(SEED)
    raw = []
    for node in nodes.values():
        every = list(cases(node, things))
        for case in every if ALL else draw.sample(every, min(PER_NODE, len(every))):
            if ALL:  # else a training that has been goes on, and is over at once
                shutil.rmtree(folder_paths.get_output_directory(), ignore_errors=True)
            ending = executor.outcome(case)
            if ending.split(":")[0] not in ENDINGS:
                raw.append(f"{case}: {ending}")
    logging.disable(logging.NOTSET)
    assert raw == []
