"""Preparing data sets without a VAE: pictures become the means of their blocks, which is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from folder_tools import ramp, save

from scedit_core.training.dataset.shards import StoredDataset, open_dataset
from scedit_core.training.dataset.shards.drawing import PrepareSettings
from scedit_core.training.dataset.shards.places import open_sources
from scedit_core.training.dataset.shards.prepare import Device, Watch, prepare
from scedit_core.training.dataset.shards.report import Report

SETTINGS = PrepareSettings(hints=("canny", "masked image"), resolution=64, trigger="<t>")


class Cancelled(Exception):
    """The user pressed Cancel."""


class Stopping(Watch):
    """Cancels after a number of examples."""

    def __init__(self, after: int) -> None:
        self.after = after

    def done(self, number: int, _total: int, _last: Any) -> None:
        """Cancel."""
        if number == self.after:
            raise Cancelled


def means(pictures: np.ndarray) -> np.ndarray:
    """The mean of each block of 8 x 8 pixels, and the position of the picture's fourth channel."""
    count, height, width, _ = pictures.shape
    blocks = pictures.reshape(count, height // 8, 8, width // 8, 8, 3).mean((2, 4)) / 255
    latents = np.moveaxis(blocks, -1, 1)
    return np.concatenate([latents, latents[:, :1] * 0 + 0.5], axis=1).astype(np.float32)


DEVICE = Device(means, "means", 4, {"depth": lambda pictures: 255 - pictures}, batch=3)


def pictures(folder: Path, names: str = "abcdefg") -> Path:
    """A folder of captioned pictures of two sizes, some of them one folder deeper."""
    for number, name in enumerate(names):
        size = (128, 64) if number % 3 == 1 else (72, 64)
        save(folder, f"{'deeper/' if number % 2 else ''}{name}.png", ramp(*size), f"caption {name}")
    return folder


def run(
    place: Path,
    target: Path,
    settings: PrepareSettings = SETTINGS,
    device: Device = DEVICE,
    watch: Watch | None = None,
) -> Report:
    """Prepare a place."""
    hint_folder = settings.hint_folder if "from folder" in settings.hints else None
    return prepare(target, open_sources(place, hint_folder), settings, device, watch or Watch())


def captions(target: Path) -> list[str]:
    """Sorted captions of all examples, each read whole."""
    dataset: StoredDataset = open_dataset(target)
    return sorted(dataset.read(number).caption for number in range(len(dataset)))


def files(target: Path) -> dict[str, tuple[int, int]]:
    """Which files a set has, and the time and identity of each."""
    return {file.name: (file.stat().st_mtime_ns, file.stat().st_ino) for file in target.iterdir()}
