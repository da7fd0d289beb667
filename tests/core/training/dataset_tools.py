"""Data sets on disk made for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.shards import Prepared, to_png, write_dataset
from scedit_core.training.dataset.shards.manifest import Head

SQUARE, WIDE = (64, 64), (128, 64)  # width and height of pictures
HEAD = Head(resolution=64, buckets=True, hints=("canny", "color"), vae="a VAE", latent_channels=4)


def example(number: int, size: tuple[int, int] = SQUARE, drawings: int = 1, stamp: int = 0) -> Prepared:
    """Example `number`, with edges that are black and white and colours that are not."""
    draw = np.random.default_rng(number)
    width, height = size
    edges = draw.integers(0, 2, (drawings, height, width, 1), np.uint8) * np.uint8(255)
    colors = draw.integers(0, 256, (drawings, height, width, 3), np.uint8)
    hints = tuple(
        tuple(to_png(one) for one in kind) for kind in (np.broadcast_to(edges, colors.shape), colors)
    )
    latent = draw.standard_normal((4, height // 8, width // 8)).astype(np.float16)
    return Prepared(f"cats/img{number}.png", stamp, latent, f"cat {number}", hints, Crop(size, size).sizes)


def examples(count: int) -> Iterator[Prepared]:
    """Examples of two sizes."""
    return (example(number, WIDE if number % 3 == 2 else SQUARE) for number in range(count))


def write(folder: Path, count: int = 7) -> Path:
    """A data set of examples of two sizes."""
    write_dataset(folder, examples(count), HEAD)
    return folder
