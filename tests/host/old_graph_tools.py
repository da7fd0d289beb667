"""Graphs of an earlier version, small and short, as ComfyUI's API takes them, and what they end in."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load
from server_tools import CHECKPOINT, Prompt, measure, workflow_module
from support import REPOSITORY

FOLDER = REPOSITORY / "tests" / "golden" / "graphs"
PROMPTS, LATENTS = FOLDER / "prompts.json", FOLDER / "latents.safetensors"
SCENE, QUARTERS = "golden_scene.png", "golden_quarters"
SIDE, STEPS = 128, 4
_TRAINING = ("SCEditTrainSCTuner", "SCEditTrainCSCTuner")
_SMALL = {
    ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT,
    ("SCEditLoadSCTuner", "tuner_name"): "night",
    ("LoadImage", "image"): SCENE,
    ("ImageScale", "width"): SIDE,
    ("ImageScale", "height"): SIDE,
    ("EmptyLatentImage", "width"): SIDE,
    ("EmptyLatentImage", "height"): SIDE,
    ("KSampler", "cfg"): 1.5,
    ("KSampler", "steps"): STEPS,
    ("SCEditColor", "ratio"): measure.RATIO,
    ("SCEditTrainingFolder", "folder"): QUARTERS,
    ("SCEditTrainingFolder", "resolution"): 64,
    **{
        (node, widget): value
        for node in _TRAINING
        for widget, value in {"steps": 6, "batch_size": 2, "accumulation": 1, "preview_every": 0}.items()
    },
}


def put_inputs(base: Path) -> None:
    """What the graphs read: a scene, and its four quarters to train on, in the input folder."""
    scene = REPOSITORY / "sandbox" / "scene.png"
    shutil.copy(scene, base / "input" / SCENE)
    picture = Image.open(scene).convert("RGB")
    half = picture.width // 2
    folder = base / "input" / QUARTERS
    folder.mkdir()
    for number, corner in enumerate([(0, 0), (half, 0), (0, half), (half, half)]):
        quarter = picture.crop((*corner, corner[0] + half, corner[1] + half))
        quarter.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"part {number} of a scene", encoding="utf-8")


def small(template: Path, object_info: dict[str, Any]) -> Prompt:
    """The prompt of a template, on the scene and the toy model, of few pixels and steps."""
    graph = json.loads(template.read_text(encoding="utf-8"))
    prompt = workflow_module.to_prompt(graph, object_info)
    present = {entry["class_type"] for entry in prompt.values()}
    prompt = workflow_module.replace_values(prompt, {k: v for k, v in _SMALL.items() if k[0] in present})
    for entry in prompt.values():
        if entry["class_type"] in (*_TRAINING, "SCEditSaveTuner"):
            entry["inputs"]["name"] = f"golden_{template.stem}"  # a run of another name would go on
        del entry["_meta"]
    return prompt


def ends(server: Any, prompt: Prompt) -> dict[str, np.ndarray]:
    """By nodes: latents of every sampler, float32 (N, C, H, W), and all pictures shown, uint8 (H, W, 3)."""
    kept = {
        f"latent{node}": {
            "class_type": "SaveLatent",
            "inputs": {"samples": [node, 0], "filename_prefix": "x"},
        }
        for node, entry in prompt.items()
        if entry["class_type"] == "KSampler"
    }
    found = {}
    for node, shown in server.execute({**prompt, **kept}).items():
        for number, file in enumerate(shown.get("latents", ())):
            found[f"{node}.{number}"] = load(server.fetch_image(file))["latent_tensor"]
        for number, file in enumerate(shown.get("images", ())):
            picture = Image.open(io.BytesIO(server.fetch_image(file)))
            found[f"picture{node}.{number}"] = np.asarray(picture.convert("RGB"))
    return found
