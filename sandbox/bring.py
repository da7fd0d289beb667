"""Makes what the sandbox brings known to ComfyUI: its pictures in the input folder, its models in lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import folder_paths

_HERE = Path(__file__).resolve().parent
_PICTURES = ("scene.png", "photo.jpg")


def bring() -> None:
    """Copy the pictures that are not there yet, and name the models that lie beside this file, if any do."""
    target = Path(folder_paths.get_input_directory())
    for name in _PICTURES:
        source = _HERE / name
        if source.is_file() and target.is_dir() and not (target / name).exists():
            shutil.copyfile(source, target / name)
    for folder in ("checkpoints", "scedit"):
        if (_HERE / "models" / folder).is_dir():
            folder_paths.add_model_folder_path(folder, str(_HERE / "models" / folder))
