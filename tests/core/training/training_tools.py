"""A base model small enough to train on within a test: a U-Net-like net with skips, in plain torch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scedit_core import EncoderSize, PreparedEdit, SCEditError, SkipLayout, TunerSpec, build_tuners, edit_skip
from scedit_core.spec import StemSize
from scedit_core.training import Example, TrainConfig, Trainer, TrainingSet
from scedit_core.training.sketch import Sketch, Sketcher

LAYOUT = SkipLayout((8, 8, 8, 8), (1, 2, 1, 1))
CONFIG = TrainConfig(steps=6, batch_size=2, learning_rate=1e-3, seed=3)
CSC = TunerSpec.csc(LAYOUT, encoder=EncoderSize(stem=StemSize(0.25, 8)))


class SmallUNet(nn.Module):
    """Four convs down, four up, each up conv reading an edited skip; predicts the noise."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.ModuleList(
            nn.Conv2d(width if i else 4, width, 3, 2 if i == 2 else 1, 1) for i in range(4)
        )
        self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 3, 1, 1) for _ in range(4))
        self.out = nn.Conv2d(width, 4, 3, 1, 1)
        for weights in self.parameters():
            if weights.ndim > 1:  # wide enough that what a skip says is heard at the output
                nn.init.normal_(weights, std=2 / weights[0].numel() ** 0.5)
        self.requires_grad_(False)

    def forward(self, x: Tensor, edits: Sequence[PreparedEdit]) -> Tensor:
        skips = []
        for conv in self.down:
            x = F.silu(conv(x))
            skips.append(x)
        for block, conv in enumerate(self.up):
            skip = edit_skip(skips[-1 - block], block, edits)
            x = F.interpolate(x, size=skip.shape[-2:])
            x = F.silu(conv(torch.cat([x, skip], dim=1)))
        return self.out(x)


class SmallModel:
    """A base model with sigmas of a variance exploding schedule, predicting eps or v."""

    def __init__(self, predicts: str = "eps", width: int = 8) -> None:
        self.net = SmallUNet(width)
        self.predicts = predicts
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.sigmas = torch.linspace(0.1, 10, 50)

    def noised(self, latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return latents + noise * sigma.view(-1, 1, 1, 1)

    def denoised(
        self, noisy: Tensor, sigma: Tensor, captions: Sequence[Any], edits: Sequence[PreparedEdit]
    ) -> Tensor:
        level = sigma.view(-1, 1, 1, 1)
        output = self.net(noisy / (1 + level**2).sqrt(), edits)
        if self.predicts == "eps":
            return noisy - level * output
        return noisy / (level**2 + 1) - output * level / (level**2 + 1).sqrt()

    def output_scale(self, sigma: Tensor) -> Tensor:
        return sigma if self.predicts == "eps" else sigma / (sigma**2 + 1).sqrt()

    def weights(self) -> Iterable[Tensor]:
        return self.net.parameters()

    def sketches(self) -> dict[str, Sketch]:
        sketcher = Sketcher()
        sketcher.tell(self.predicts)
        for weights in self.weights():
            sketcher.sample(weights)
        return {"model": sketcher.sketch()}

    def fingerprint(self) -> str:
        return f"small {self.predicts}"


def examples(count: int = 6, hints: int = 0, sizes: Sequence[tuple[int, int]] = ((4, 4),)) -> list[Example]:
    """Pictures that are all much alike, so that there is something to learn."""
    draw = torch.Generator().manual_seed(5)
    made = []
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        latent = torch.ones(4, height, width) + 0.1 * torch.randn(4, height, width, generator=draw)
        drawn = tuple(torch.rand(1, 3, 8 * height, 8 * width, generator=draw) for _ in range(hints))
        made.append(Example(latent, f"caption {number}", drawn))
    return made


def training_set(count: int = 6, hints: int = 0) -> TrainingSet:
    """Such pictures as a training set."""
    return TrainingSet(examples(count, hints), no_caption="")


def trainer(config: TrainConfig = CONFIG, specs: tuple = (TunerSpec.sc(LAYOUT),), predicts="eps") -> Trainer:
    """A run on the small model, with the same fresh tuners each time, in the precision of the config."""
    torch.manual_seed(1)
    hints = sum(spec.kind == "csc" for spec in specs)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
    tuners = [build_tuners(spec).to(dtype) for spec in specs]
    return Trainer(tuners, SmallModel(predicts), training_set(hints=hints), config)


def finished(run: Trainer, steps: int | None = None) -> Trainer:
    """The run, some steps further."""
    for _ in range(run.config.steps - run.step if steps is None else steps):
        run.advance()
    return run


def weights_of(run: Trainer) -> list[dict[str, Tensor]]:
    """Weights of each tuner set."""
    return [tuners.state_dict() for tuners in run.trained()]


def equal(first: Trainer, second: Trainer) -> bool:
    """True if both have the same weights and losses, bit for bit."""
    pairs = zip(weights_of(first), weights_of(second), strict=True)
    same = all(torch.equal(a[key], b[key]) for a, b in pairs for key in a.keys() | b.keys())
    return same and first.losses == second.losses and first.step == second.step


class LazyExamples:
    """Examples that are made when they are read, by two threads; `read_by` says by which."""

    threads = 2

    def __init__(self, made: Sequence[Example]) -> None:
        self._made = made
        self.channels, self.hints = 4, len(made[0].hints)
        self.shapes = np.array([tuple(example.latent.shape[1:]) for example in made])
        self.damaged = False
        self.read_by: list[str] = []

    def __len__(self) -> int:
        return len(self._made)

    def read(self, number: int) -> Example:
        self.read_by.append(threading.current_thread().name)
        if self.damaged:
            raise SCEditError(f"example {number} is damaged")
        example = self._made[number]
        return Example(example.latent.clone(), f"{example.caption}, unread", example.hints, "unread")

    def encoded(self, captions: Sequence[str]) -> list[str]:
        return [caption.removesuffix("unread").removesuffix(", ") for caption in captions]

    def fingerprint(self) -> str:
        return "lazy"
