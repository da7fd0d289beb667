"""Training folders made for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from scedit_core.training.dataset.folder import FolderSettings

SQUARE = FolderSettings(resolution=64)


def ramp(width=96, height=64) -> Image.Image:
    """Red grows to the right, green downwards: every pixel says where it was."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, 0 * red], axis=-1).round().astype(np.uint8))


def save(
    folder: Path, name: str, picture: Image.Image | None = None, caption: str | None = "a picture", **how
):
    """Write a picture and its caption; a given caption of None leaves it out."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or ramp()).save(path, **how)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path
