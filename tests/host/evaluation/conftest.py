"""The sandbox's model, scenes and tuners, which evaluations are tried on."""

from __future__ import annotations

import pytest
from support import COMFYUI, REPOSITORY, load_module

collect_ignore_glob = [] if COMFYUI else ["*.py"]

if COMFYUI:
    import comfy.sd
    from evaluation_tools import lists

    from scedit_core.annotators.drawn.canny import canny


@pytest.fixture(scope="module")
def checkpoint(sandbox_models):
    """Model, text encoder and VAE of the sandbox."""
    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    path = sandbox_models / "checkpoints" / "scedit_sandbox.safetensors"
    return comfy.sd.load_checkpoint_guess_config(str(path))[:3]


@pytest.fixture(scope="module")
def node(nodes):
    """The node."""
    return nodes["SCEditEvaluateTuner"]


@pytest.fixture(scope="module")
def tuner_of(pack, sandbox_models):
    """Tuners of the sandbox by name."""
    read = pack.nodes.files.hosted.read_hosted
    return lambda name: read(name, sandbox_models / "scedit" / name)[1]


@pytest.fixture(scope="module")
def scenes(checkpoint):
    """Two scenes with their edges."""
    return lists(checkpoint, canny)
