"""A server that loads models as on NVIDIA, with dynamic VRAM, does what one without it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from server_tools import CHECKPOINT, PHOTO, base_prompt, pixels, server_module, training_prompt
from support import COMFYUI
from test_training_server import saved

PACK = Path(__file__).parent / "dynamic_vram"


@pytest.fixture(scope="module")
def dynamic_server(tmp_path_factory: pytest.TempPathFactory, sandbox_models: Path) -> Iterator[Any]:
    """A ComfyUI with dynamic VRAM, the pack and the sandbox.

    Its checkpoint is in fp32, what a CPU computes in: layers keep the dtype of the file, and the patcher that
    casts them at each use is one for cards.
    """
    base = tmp_path_factory.mktemp("dynamic")
    weights = load_file(sandbox_models / "checkpoints" / CHECKPOINT)
    (base / "models" / "checkpoints").mkdir(parents=True)
    save_file(
        {key: value.float() for key, value in weights.items()}, base / "models" / "checkpoints" / CHECKPOINT
    )
    with server_module.ComfyServer(Path(COMFYUI), base=base, models=sandbox_models, packs=[PACK]) as running:
        running.upload_image(PHOTO)
        yield running


def test_a_control_gives_the_same_picture(server: Any, dynamic_server: Any, photo: str) -> None:
    static, dynamic = (one.execute(base_prompt(photo)) for one in (server, dynamic_server))
    assert np.array_equal(pixels(server, static), pixels(dynamic_server, dynamic))


def test_a_training_gives_the_same_tuner_and_picture(server: Any, dynamic_server: Any, photo: str) -> None:
    prompt = training_prompt(photo, "twin", steps=3)
    static, dynamic = (one.execute(prompt) for one in (server, dynamic_server))
    assert np.array_equal(pixels(server, static), pixels(dynamic_server, dynamic))
    first, second = (saved(one, "twin") for one in (server, dynamic_server))
    assert all(first[key].equal(second[key]) for key in first)
