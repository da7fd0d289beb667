"""train.py for the sandbox's checkpoint, which stock ComfyUI does not know.

python sandbox/train_job.py run JOB.toml --comfyui FOLDER
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SANDBOX = Path(__file__).resolve().parent


def loaded(name: str, file: Path) -> ModuleType:
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def register() -> ModuleType:
    """Have ComfyUI know the sandbox's model; the module that tells it."""
    model = loaded("scedit_sandbox_model", SANDBOX / "model.py")
    model.register()
    return model


if __name__ == "__main__":
    sys.exit(loaded("train", SANDBOX.parent / "train.py").main(ready=register))
