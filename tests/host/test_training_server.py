"""Training through a real server over HTTP: cancelled by the user, taken up again, saved and used."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from server_tools import base_prompt, changed, pixels, server_module

from scedit_core import load_checkpoint, read_checkpoint

STEPS = 40


def training_prompt(photo: str, name: str, steps: int = STEPS) -> dict[str, Any]:
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


def state(server: Any, name: str) -> Path:
    """File with the state of a training."""
    return server.base / "output" / "scedit_training" / f"{name}.safetensors"


def saved(server: Any, name: str) -> dict[str, torch.Tensor]:
    """Weights of a tuner that the server saved."""
    return load_checkpoint(server.base / "models" / "scedit" / f"{name}.safetensors").state_dict()


def interrupt(server: Any, name: str) -> None:
    """Cancel a training once it has begun."""
    while not state(server, name).exists():
        time.sleep(0.05)
    time.sleep(1.0)
    server.interrupt()


@pytest.fixture(scope="module")
def straight(server: Any, photo: str) -> dict[str, Any]:
    """Outputs of a training without a break."""
    return server.execute(training_prompt(photo, "straight"))


def test_a_training_graph_trains_saves_and_samples(server, photo, straight):
    assert straight["train"]["images"]
    assert "straight.safetensors" in straight["keep"]["text"][0]
    metadata = read_checkpoint(server.base / "models" / "scedit" / "straight.safetensors").metadata
    assert metadata["scedit.train.steps"] == str(STEPS)
    plain = changed(base_prompt(photo, size=64), "sampler", model=["checkpoint", 0])
    without = server.execute(
        {key: plain[key] for key in plain if key not in ("load", "apply", "hint", "photo")}
    )
    assert (pixels(server, straight) != pixels(server, without)).any()


def test_a_training_stopped_by_interrupt_goes_on_to_the_same_tuner(server, photo, straight):
    prompt = training_prompt(photo, "broken", steps=100_000)
    thread = threading.Thread(target=interrupt, args=(server, "broken"))
    thread.start()
    with pytest.raises(server_module.ServerError, match="cancelled"):
        server.execute(prompt)
    thread.join()
    assert "broken.safetensors" not in [file.name for file in (server.base / "models" / "scedit").iterdir()]
    done = read_state(state(server, "broken"))
    assert done > 0
    # as far as the uninterrupted one, or as it got: both runs see the same pictures and the same noise
    total = max(done, STEPS)
    server.execute(training_prompt(photo, "broken", steps=total))
    server.execute(training_prompt(photo, "whole", steps=total))
    broken, whole = saved(server, "broken"), saved(server, "whole")
    assert all(torch.equal(value, whole[key]) for key, value in broken.items())


def read_state(file: Path) -> int:
    """Steps that a state on disk holds."""
    import json

    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["scedit.training"])["step"]
