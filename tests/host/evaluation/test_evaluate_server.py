"""Evaluate Tuner in a real server over HTTP: cancelled by the user, then run, saved and read."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from evaluation_tools import QUICK, SIZE
from PIL import Image
from server_tools import CHECKPOINT, server_module, world

from scedit_core import read_checkpoint

Prompt = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def prompt(server: Any) -> Prompt:
    """A folder of held-out scenes, the sandbox's colour control, what is said of it, and its file after."""
    folder = server.base / "input" / "held_out"
    folder.mkdir()
    for number, scene in enumerate(map(world.scene, world.HELD_OUT[:2])):
        Image.fromarray(scene.picture).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(scene.caption, encoding="utf-8")
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "control": {"class_type": "SCEditLoadCSCTuner", "inputs": {"tuner_name": "color_control"}},
        "folder": {
            "class_type": "SCEditTrainingFolder",
            "inputs": {
                "folder": "held_out", "vae": ["checkpoint", 2], "clip": ["checkpoint", 1], "hint": "color",
                "resolution": SIZE, "buckets": True, "trigger": "",
            },
        },
        "evaluate": {
            "class_type": "SCEditEvaluateTuner",
            "inputs": {
                "model": ["checkpoint", 0], "vae": ["checkpoint", 2], "control": ["control", 0],
                "latents": ["folder", 0], "positive": ["folder", 1], "empty": ["folder", 2],
                "hints": ["folder", 3], **QUICK,
            },
        },
        "keep": {
            "class_type": "SCEditSaveTuner",
            "inputs": {
                "tuner": ["evaluate", 1], "name": "measured", "if_exists": "replace it",
                "dtype": "as trained",
            },
        },
    }  # fmt: skip


def test_an_evaluation_is_cancelled_and_then_run_saved_and_shown(server, prompt):
    def interrupt() -> None:
        time.sleep(2.0)
        server.interrupt()

    evaluate = prompt["evaluate"]
    long = {**prompt, "evaluate": {**evaluate, "inputs": {**evaluate["inputs"], "steps": 1000}}}
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(server_module.ServerError, match="cancelled"):
        server.execute(long)
    thread.join()
    shown = server.execute(prompt)
    said = shown["evaluate"]["text"][0].split("\n")[0]
    assert said.startswith("follows colours: error ")
    assert len(shown["evaluate"]["images"]) == 1
    metadata = read_checkpoint(server.base / "models" / "scedit" / "measured.safetensors").metadata
    assert metadata["scedit.eval.verdict"] == said
    info = {"info": {"class_type": "SCEditTunerInfo", "inputs": {"tuner_name": "measured.safetensors"}}}
    assert f"measured: {said}" in server.execute(info)["info"]["text"][0]
