"""Folders of captioned pictures for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def fill(folder: Path, count: int, size: tuple[int, int] = (64, 64)) -> Path:
    """A folder of `count` pictures of coarse noise, called 0.jpg and so on, with captions."""
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(folder / f"{number}.jpg")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder
