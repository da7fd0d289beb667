"""Training through a real server over HTTP: cancelled by the user, taken up again, saved and used."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from server_tools import base_prompt, changed, pixels, server_module, training_prompt

from scedit_core import load_checkpoint, read_checkpoint

STEPS = 40


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
    return server.execute(training_prompt(photo, "straight", STEPS))


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
