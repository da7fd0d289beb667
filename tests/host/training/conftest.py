"""train.py beside the ComfyUI that the tests have loaded."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import REPOSITORY, load_module

collect_ignore_glob = [] if os.environ.get("COMFYUI_PATH") else ["*.py"]


@pytest.fixture(scope="session")
def train_modules(pack: ModuleType) -> Iterator[tuple[ModuleType, ModuleType]]:
    """train.py, and the sandbox's, which knows its model."""
    import comfy.cli_args

    before = signal.getsignal(signal.SIGTERM), sys.path[:], dict(vars(comfy.cli_args.args))
    yield (
        load_module("scedit_train", REPOSITORY / "train.py"),
        load_module("scedit_train_job", REPOSITORY / "sandbox" / "train_job.py"),
    )
    signal.signal(signal.SIGTERM, before[0])
    sys.path[:] = before[1]
    vars(comfy.cli_args.args).update(before[2])


@pytest.fixture
def train_py(
    train_modules: tuple[ModuleType, ModuleType], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Runs train.py with some arguments; its status and what it said."""
    monkeypatch.setenv("COMFYUI_PATH", os.environ["COMFYUI_PATH"])
    plain, sandbox = train_modules

    def call(*arguments: Any) -> tuple[int, str]:
        status = plain.main([*map(str, arguments)], ready=sandbox.register)
        told = capsys.readouterr()
        return status, told.out + told.err

    return call


@pytest.fixture(scope="module")
def checkpoint_parts(sandbox_models: Path) -> dict[str, Any]:
    """MODEL, CLIP and VAE of the sandbox's checkpoint."""
    import comfy.sd

    load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py").register()
    path = sandbox_models / "checkpoints" / "scedit_sandbox.safetensors"
    model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path))
    return {"model": model, "clip": clip, "vae": vae}


@pytest.fixture(scope="module")
def checkpoint(checkpoint_parts: dict[str, Any]) -> dict[str, Any]:
    """CLIP and VAE of the sandbox's checkpoint."""
    return {name: checkpoint_parts[name] for name in ("clip", "vae")}
