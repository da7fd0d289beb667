"""What the paper's tables in small are learnt from and measured on: scenes of the sandbox, at 128 pixels."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from host_start import find_comfyui

REPOSITORY = Path(__file__).resolve().parents[1]
COMFYUI = Path(find_comfyui())
sys.path.append(str(REPOSITORY / "sandbox"))  # last: its server.py must not hide what ComfyUI calls so

import world
from graphs import CFG
from measure import edge_f1, edges, style_distance
from scene_edges import random_edges
from train_controls import resized, scaled
from train_styles import STYLE_PICTURES, Workshop, as_images
from training_run import import_model

import_model(COMFYUI)  # before anything else of ComfyUI is: it reads its command line's settings then

SIDE = 128
CONTROL_SCENES = 600
UNSEEN = world.HELD_OUT[:8]
SAMPLING_STEPS = 8
STYLE = "watercolour"
ENCODED_AT_ONCE = 10

Score = Callable[[Sequence[np.ndarray]], float]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Examples to learn from, a batch of held-out ones, and the figure of pictures painted of those."""

    data: Any
    held_out: Any
    score: Score
    figure: str


class Lessons:
    """The sandbox's base model, ready for gradients, and what can be learnt on it."""

    def __init__(self, workshop: Workshop, base: Any, unet: torch.nn.Module) -> None:
        self.base, self.unet, self._workshop = base, unet, workshop
        self.config = workshop.model.model.model_config.unet_config
        self._core = workshop.pack.scedit_core
        self._layout = self._core.SkipLayout.from_unet_config(self.config)
        self._empty = workshop.caption("")
        self._to_set = _inside("nodes.training.examples").to_training_set

    def control(self) -> Lesson:
        """Canny edges, learnt at random thresholds as the paper's and measured at those of inference."""
        rng = np.random.default_rng(3)
        scenes = [scaled(seed, SIDE) for seed in range(CONTROL_SCENES)]
        data = self._set(scenes, [random_edges(scene, rng) for scene in scenes])
        unseen = [scaled(seed, SIDE) for seed in UNSEEN]
        wanted = [edges(scene.picture) for scene in unseen]
        hints = [np.repeat(255 * lines[..., None].astype(np.uint8), 3, -1) for lines in wanted]

        def score(pictures: Sequence[np.ndarray]) -> float:
            return float(np.mean([edge_f1(*pair) for pair in zip(pictures, wanted, strict=True)]))

        return Lesson(data, self._batch(self._set(unseen, hints)), score, "edge F1")

    def style(self) -> Lesson:
        """One style from 30 pictures with captions that do not name it."""
        drawn, unseen = ([world.scene(seed) for seed in seeds] for seeds in (range(STYLE_PICTURES), UNSEEN))
        data, held_out = (
            self._set(scenes, None, [self._styled(scene) for scene in scenes]) for scenes in (drawn, unseen)
        )
        wanted = [self._styled(scene) for scene in unseen]  # of the same scenes, so that 0 is the aim

        def score(pictures: Sequence[np.ndarray]) -> float:
            return style_distance(pictures, wanted)

        return Lesson(data, self._batch(held_out), score, "style distance")

    def sc(
        self, ratio: float = 1.0, blocks: tuple[int, ...] | None = None, op: str = "adapter"
    ) -> torch.nn.Module:
        """SC-Tuners for the sandbox's U-Net."""
        return self._core.build_tuners(self._core.TunerSpec.sc(self._layout, ratio, blocks, op))

    def csc(
        self,
        ratio: float = 1.0,
        blocks: tuple[int, ...] | None = None,
        *,
        kernel: int = 1,
        is_dual: bool = False,
    ) -> torch.nn.Module:
        """A CSC-Tuner for the sandbox's U-Net."""
        encoder = self._core.EncoderSize(kernel=kernel, is_dual=is_dual)
        spec = self._core.TunerSpec.csc(self._layout, ratio, blocks, encoder=encoder)
        return self._core.build_tuners(spec)

    def painted(self, run: Any, lesson: Lesson) -> list[np.ndarray]:
        """Pictures of the held-out scenes, uint8 `(128, 128, 3)`."""
        paint = importlib.import_module("paper_run").paint
        latents = paint(run, lesson.held_out, self._empty[0], SAMPLING_STEPS, CFG)
        decoded = self._workshop.vae.decode(self._workshop.model.model.process_latent_out(latents))
        return list((decoded.clamp(0, 1) * 255).round().byte().numpy())

    def _styled(self, scene: world.Scene) -> np.ndarray:
        return resized(world.STYLES[STYLE](scene.picture), SIDE)

    def _set(
        self,
        scenes: Sequence[world.Scene],
        hints: Sequence[np.ndarray] | None,
        pictures: Sequence[np.ndarray] | None = None,
    ) -> Any:
        """Examples of scenes, or of other pictures of them."""
        shown = np.stack([scene.picture for scene in scenes] if pictures is None else pictures)
        with torch.no_grad():
            latents = [{"samples": self._encoded(shown)}]
            captions = [self._workshop.caption(scene.caption) for scene in scenes]
        images = [] if hints is None else [[as_images([hint]) for hint in hints]]
        return self._to_set(self._workshop.model, (latents, captions), images, [self._empty], False)

    def _encoded(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents of pictures, kept on disk: encoding takes a CPU 0.2 s each."""
        file = self._workshop.work / f"latents_{hashlib.sha256(pictures).hexdigest()[:16]}.npy"
        if not file.exists():
            parts = [pictures[at : at + ENCODED_AT_ONCE] for at in range(0, len(pictures), ENCODED_AT_ONCE)]
            encoded = [self._workshop.vae.encode(as_images(list(part))) for part in parts]
            partial = file.with_suffix(f".{os.getpid()}")
            with partial.open("wb") as out:
                np.save(out, torch.cat(encoded).numpy())
            os.replace(partial, file)
        return torch.from_numpy(np.load(file))

    def _batch(self, examples: Any) -> Any:
        """All of a set as one batch, in its own order."""
        batch = _inside("scedit_core.training").Batch
        read = [examples.examples.read(number) for number in range(len(examples))]
        hints = tuple(torch.cat(of_one) for of_one in zip(*(one.hints for one in read), strict=True))
        latents = torch.stack([one.latent for one in read])
        return batch(latents, tuple(one.caption for one in read), hints, tuple(range(len(read))))


@contextmanager
def opened(work: Path) -> Iterator[Lessons]:
    """The sandbox's base model in this process's ComfyUI, and gradients through it."""
    workshop = Workshop(COMFYUI, work, REPOSITORY / "sandbox" / "models")
    with _inside("nodes.training.base_model").differentiable(workshop.model) as base:
        yield Lessons(workshop, base, workshop.model.model.diffusion_model)


def _inside(name: str) -> Any:
    return importlib.import_module(f"scedit_pack.{name}")
