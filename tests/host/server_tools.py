"""Prompts for a real ComfyUI server and the sandbox's helpers for it."""

from __future__ import annotations

import copy
import io
import sys
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image
from support import REPOSITORY, load_module

# Last: the sandbox's server.py and model.py must not hide what ComfyUI calls so.
sys.path.append(str(REPOSITORY / "sandbox"))
server_module = load_module("scedit_sandbox_server", REPOSITORY / "sandbox" / "server.py")
workflow_module = load_module("scedit_sandbox_workflow", REPOSITORY / "sandbox" / "workflow.py")
composition, figures, graphs, measure, moving, studio_module, world = map(
    import_module, ("composition", "figures", "graphs", "measure", "moving", "studio", "world")
)

CHECKPOINT = "scedit_sandbox.safetensors"
PHOTO = REPOSITORY / "sandbox" / "photo.jpg"

Prompt = dict[str, dict[str, Any]]


def base_prompt(photo: str, size: int = 128) -> Prompt:
    """A short run of the sandbox model on a photo, with one control; nodes go by name."""
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "photo": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["checkpoint", 1], "text": "a photo"}},
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size, "height": size, "batch_size": 1},
        },
        "load": {"class_type": "SCEditLoadCSCTuner", "inputs": {"tuner_name": "canny_control"}},
        "hint": {
            "class_type": "SCEditCanny",
            "inputs": {"image": ["photo", 0], "low_threshold": 100, "high_threshold": 200},
        },
        "apply": {
            "class_type": "SCEditApplyCSCTuner",
            "inputs": {
                "model": ["checkpoint", 0], "control": ["load", 0], "image": ["hint", 0], "strength": 1.0,
            },
        },
        "sampler": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["apply", 0], "positive": ["text", 0], "negative": ["text", 0],
                "latent_image": ["latent", 0], "seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler",
                "scheduler": "normal", "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sampler", 0], "vae": ["checkpoint", 2]},
        },
        "save": {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}},
    }  # fmt: skip


def training_prompt(photo: str, name: str, steps: int) -> Prompt:
    """Train a control on one small picture, save it, and use it in the same graph."""
    prompt = base_prompt(photo, size=64)
    prompt["small"] = {
        "class_type": "ImageScale",
        "inputs": {
            "image": ["photo", 0], "upscale_method": "area", "width": 64, "height": 64, "crop": "center",
        },
    }  # fmt: skip
    prompt["encode"] = {
        "class_type": "VAEEncode",
        "inputs": {"pixels": ["small", 0], "vae": ["checkpoint", 2]},
    }
    prompt["hint"]["inputs"]["image"] = ["small", 0]
    prompt["train"] = {
        "class_type": "SCEditTrainCSCTuner",
        "inputs": {
            "model": ["checkpoint", 0], "latents": ["encode", 0], "positive": ["text", 0],
            "hints.hint0": ["hint", 0], "empty": ["text", 0], "caption_dropout": 0.1,
            "name": name, "steps": steps, "batch_size": 1, "accumulation": 1, "learning_rate": 1e-3,
            "seed": 0, "tuner_op": "adapter", "ratio": 4.0, "kernel": 1, "hint_channels": 16,
            "stem_ratio": 0.25,
        },
    }  # fmt: skip
    prompt["keep"] = {
        "class_type": "SCEditSaveTuner",
        "inputs": {"tuner": ["train", 0], "name": name, "if_exists": "replace it", "dtype": "as trained"},
    }
    prompt["apply"]["inputs"]["control"] = ["train", 0]
    del prompt["load"]
    return prompt


def changed(prompt: Prompt, node: str, **inputs: Any) -> Prompt:  # the inputs of any node
    """The prompt with some inputs of a node set."""
    copied = copy.deepcopy(prompt)
    copied[node]["inputs"].update(inputs)
    return copied


def pixels(server: Any, outputs: dict[str, Any], node: str = "save") -> np.ndarray:
    """The first picture that a node put out, uint8 (H, W, 3)."""
    picture = server.fetch_image(outputs[node]["images"][0])
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
