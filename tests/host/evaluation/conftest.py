"""The sandbox's model, and held-out scenes of its world as lists of latents, prompts and hints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if os.environ.get("COMFYUI_PATH") else ["*.py"]


@pytest.fixture(scope="session")
def checkpoint(sandbox_models: Path) -> tuple[Any, Any, Any]:
    """Model, text encoder and VAE."""
    import comfy.sd
    from support import REPOSITORY, load_module

    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    path = sandbox_models / "checkpoints" / "scedit_sandbox.safetensors"
    return comfy.sd.load_checkpoint_guess_config(str(path))[:3]
