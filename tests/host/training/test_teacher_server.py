"""A control taught in a real server over HTTP, on pictures that the model draws: cancelled, taken up."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from server_tools import base_prompt, pixels, server_module, training_prompt
from teacher_files import LORA, write_lora
from test_training_server import interrupt, read_state, saved, state

STEPS = 10


def drawing_prompt(photo: str, name: str, steps: int) -> Any:
    """A training on two pictures that the model draws itself."""
    prompt = training_prompt(photo, name, steps)
    parts = {name: ["checkpoint", output] for output, name in enumerate(("model", "clip", "vae"))}
    how = {
        "prompts": "a red tree\na house",
        "count": 1,
        "width": 64,
        "height": 64,
        "seed": 0,
        "hint": "canny",
    }
    prompt["draw"] = {"class_type": "SCEditDrawPictures", "inputs": {**parts, **how, "steps": 2}}
    links = ("latents", "positive", "empty", "hints.hint0")
    prompt["train"]["inputs"] |= {name: ["draw", output] for output, name in enumerate(links)}
    return prompt


def taught_prompt(server: Any, photo: str, name: str, steps: int) -> Any:
    """A training whose teacher has a LoRA on the same checkpoint, and the sandbox's control on a prompt."""
    write_lora(server.base / "models")
    prompt = drawing_prompt(photo, name, steps)
    lora = {"model": ["checkpoint", 0], "lora_name": LORA, "strength_model": 0.5}
    prompt["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": lora}
    prompt["load"] = base_prompt(photo, size=64)["load"]
    condition = {"control": ["load", 0], "image": ["hint", 0], "weight": 1.0}
    prompt["condition"] = {"class_type": "SCEditCondition", "inputs": condition}
    applied = {"conditioning": ["text", 0], "conditions": ["condition", 0], "strength": 0.9}
    prompt["prompt"] = {"class_type": "SCEditApplyToPrompt", "inputs": applied}
    prompt["train"]["inputs"] |= {
        "teacher": ["lora", 0],
        "teacher_positive": ["prompt", 0],
        "teacher_share": 0.9,
    }
    return prompt


def test_a_taught_control_goes_on_after_an_interrupt_to_the_same_tuner(server, photo):
    thread = threading.Thread(target=interrupt, args=(server, "taught"))
    thread.start()
    with pytest.raises(server_module.ServerError, match="cancelled"):
        server.execute(taught_prompt(server, photo, "taught", 100_000))
    thread.join()
    total = max(read_state(state(server, "taught")), STEPS)
    painted = [
        pixels(server, server.execute(taught_prompt(server, photo, name, total)))
        for name in ("taught", "taught_whole")
    ]
    broken, whole = saved(server, "taught"), saved(server, "taught_whole")
    assert all(torch.equal(value, whole[key]) for key, value in broken.items())
    assert (painted[0] == painted[1]).all()
    server.execute(drawing_prompt(photo, "from_pictures", total))
    pictures = saved(server, "from_pictures")
    assert not all(torch.equal(value, pictures[key]) for key, value in broken.items())
