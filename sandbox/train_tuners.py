"""Train the sandbox's tuners with the pack's own training nodes, on the checkpoint that train_base.py made.

    python train_tuners.py --comfyui PATH --work FOLDER --models FOLDER [--only NAME ...]

Both folders are those of train_base.py; --models gets scedit/<NAME>/adapter_model.safetensors. A training
that was cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
import world
from measure import RATIO
from training_run import Log, import_model

REPOSITORY = Path(__file__).resolve().parent.parent
STYLE_PICTURES = 30
CONTROL_PICTURES = {128: 1500, 256: 1000}  # by their side; small ones cost a quarter
# by which share of its steps, and at which factor of its rate, a control learns: the end is for details
CONTROL_STAGES = ((0.7, 1.0), (1.0, 0.2))
Drawing = Callable[[world.Scene, np.random.Generator], np.ndarray]


# --- hints -----------------------------------------------------------------------------------------------


def canny_hint(pack: ModuleType) -> Drawing:
    """Canny at the random thresholds of the paper."""
    canny = pack.scedit_core.annotators.drawn.canny.canny

    def draw(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
        return canny(scene.picture, int(rng.integers(50, 101)), int(rng.integers(200, 351)))

    return draw


def color_hint(pack: ModuleType) -> Drawing:
    """Colour blocks: every other time those that are measured, else of a random size around it."""
    color = pack.scedit_core.annotators.drawn.color.color

    def draw(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
        ratio = RATIO if rng.random() < 0.5 else int(rng.integers(24, 65))
        return color(scene.picture, ratio * len(scene.picture) // world.SIZE)

    return draw


def masked_hint(pack: ModuleType) -> Drawing:
    """The scene with a box, or its border, blackened."""
    masked_image = pack.scedit_core.annotators.drawn.masked_image.masked_image

    def draw(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
        picture = torch.from_numpy(scene.picture).movedim(-1, 0)[None]  # (1, 3, H, W)
        mask = torch.from_numpy(random_mask(rng))[None, None].float()  # fitted to the picture
        return masked_image(picture, mask)[0].movedim(0, -1).numpy()

    return draw


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Bool `(256, 256)`: a box somewhere, or in a quarter of the cases all but a box (outpainting)."""
    mask = np.zeros((world.SIZE, world.SIZE), bool)
    height, width = rng.integers(64, 161, 2)
    top, left = rng.integers(0, world.SIZE - height), rng.integers(0, world.SIZE - width)
    mask[top : top + height, left : left + width] = True
    return ~mask if rng.random() < 0.25 else mask


def depth_hint(pack: ModuleType) -> Drawing:
    """How near every pixel is, from the scene's geometry; near is bright."""

    def draw(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
        grey = (scene.nearness * 255).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)

    return draw


# --- what is trained -------------------------------------------------------------------------------------

COMMON = {
    "batch_size": 8, "accumulation": 1, "seed": 0, "tuner_op": "adapter", "ratio": 1.0,
    "caption_dropout": 0.1, "ema_decay": 0.98, "save_every": 100, "memory": "full speed",
}  # fmt: skip


@dataclass(frozen=True)
class Control:
    """A CSC-Tuner: what its hints are, and how long and how finely it learns."""

    hint: Callable[[ModuleType], Drawing]
    condition: str
    steps: int
    kernel: int = 3
    drawings: int = 1
    rate: float = 2e-3


@dataclass(frozen=True)
class Style:
    """An SC-Tuner: which of the world's styles it learns from 30 pictures."""

    style: str
    steps: int
    rate: float = 2e-3


TUNERS: dict[str, Control | Style] = {
    "canny_control": Control(canny_hint, "canny", 1800),
    "color_control": Control(color_hint, "color", 3000, kernel=1, drawings=2),
    "night": Style("night", 150, rate=3e-4),  # gently: it darkens, and edges must stay
    "watercolour": Style("watercolour", 250),
    "inpainting_control": Control(masked_hint, "masked image", 3000, drawings=2),
    "depth_control": Control(depth_hint, "depth", 250, kernel=1),
}


class Workshop:
    """The host with the pack and the sandbox's checkpoint loaded."""

    def __init__(self, comfyui: Path, work: Path, models: Path) -> None:
        import_model(comfyui).register()
        import comfy.sd
        import folder_paths

        folder_paths.models_dir = str(models)
        folder_paths.set_output_directory(str(work))
        folder_paths.set_temp_directory(str(work))
        self.work, self.models = work, models
        self.pack = load_pack()
        self.pack.nodes.register_tuner_folder()
        self.nodes = {node.define_schema().node_id: node for node in self.pack.nodes.NODES}
        checkpoint = models / "checkpoints" / "scedit_sandbox.safetensors"
        self.model, self.clip, self.vae, _ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
        self.model.model.diffusion_model.to(memory_format=torch.channels_last)  # a third faster on a CPU
        self._captions: dict[str, Any] = {}

    def caption(self, text: str) -> Any:
        """CONDITIONING of a text."""
        if text not in self._captions:
            self._captions[text] = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
        return self._captions[text]

    def train(self, name: str, job: Control | Style) -> float:
        """Train and save one tuner; the mean loss of its last 50 steps."""
        make = self._control if isinstance(job, Control) else self._style
        with torch.inference_mode():
            tuner = make(name, job)
            self.nodes["SCEditSaveTuner"].execute(
                tuner=tuner,
                name=f"{name}/adapter_model",
                if_exists="replace it",
                dtype="fp16",
                title=f"{name} of the sandbox",
                condition=job.condition if isinstance(job, Control) else "",
                description="A toy for the sandbox's miniature model",
                license="Apache-2.0",
            )
        for unfinished in (self.models / "scedit").glob(f"{name}-step*.safetensors"):
            unfinished.unlink()
        return float(tuner.metadata["scedit.train.loss"])

    def _control(self, name: str, job: Control) -> Any:
        rng = np.random.default_rng(3)
        draw = job.hint(self.pack)
        scenes = [scaled(seed, side) for side, count in CONTROL_PICTURES.items() for seed in range(count)]
        hints = [as_images([draw(scene, rng) for _ in range(job.drawings)]) for scene in scenes]
        samples = [
            latent for side, count in CONTROL_PICTURES.items() for latent in self._latents(side, count)
        ]
        captions = [scene.caption for scene in scenes]
        more = {"hints": {"hint0": hints}, "kernel": [job.kernel]}
        return self._run("SCEditTrainCSCTuner", name, job, samples, captions, more)

    def _latents(self, side: int, count: int) -> list[dict[str, Any]]:
        """LATENTs of the first scenes, as train_base.py made them."""
        latents = np.array(np.load(self.work / f"latents_{side}_0.npy", mmap_mode="r")[:count])
        scale = self.model.model.latent_format.scale_factor
        return [{"samples": torch.from_numpy(latent[None]).float() / scale} for latent in latents]

    def _style(self, name: str, job: Style) -> Any:
        scenes = [world.scene(seed) for seed in range(STYLE_PICTURES)]
        pictures = [world.STYLES[job.style](scene.picture) for scene in scenes]
        samples = [{"samples": self.vae.encode(as_images([picture]))} for picture in pictures]
        return self._run("SCEditTrainSCTuner", name, job, samples, [scene.caption for scene in scenes])

    def _run(
        self,
        node: str,
        name: str,
        job: Control | Style,
        samples: Sequence[Any],
        captions: Sequence[str],
        more: dict[str, Any] | None = None,
    ) -> Any:
        data: dict[str, Any] = {
            "model": [self.model],
            "latents": list(samples),
            "positive": [self.caption(text) for text in captions],
            "empty": [self.caption("")],
            **(more or {}),
        }
        stages = CONTROL_STAGES if isinstance(job, Control) else ((1.0, 1.0),)
        for share, factor in stages:
            widgets = COMMON | {
                "name": name,
                "steps": int(share * job.steps),
                "learning_rate": factor * job.rate,
            }
            trained = self.nodes[node].execute(**data, **{key: [value] for key, value in widgets.items()})
        return trained.args[0]


def scaled(seed: int, side: int) -> world.Scene:
    """A scene with its picture and map `side` pixels wide."""
    scene = world.scene(seed)
    if side == world.SIZE:
        return scene
    return replace(scene, picture=resized(scene.picture, side), nearness=resized(scene.nearness, side))


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def as_images(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """IMAGE `(N, H, W, 3)` of uint8 pictures."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def load_pack() -> ModuleType:
    """The pack, imported as ComfyUI imports packs."""
    place = REPOSITORY / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "scedit_pack", place, submodule_search_locations=[str(REPOSITORY)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no pack in {REPOSITORY}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["scedit_pack"] = module
    spec.loader.exec_module(module)
    for name in ("nodes", "scedit_core.annotators.drawn.canny", "scedit_core.annotators.drawn.color"):
        importlib.import_module(f"scedit_pack.{name}")
    importlib.import_module("scedit_pack.scedit_core.annotators.drawn.masked_image")
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sandbox's tuners with the pack's training nodes.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--work", type=Path, required=True, help="the folder of train_base.py")
    parser.add_argument("--models", type=Path, required=True, help="models folder that gets the tuners")
    parser.add_argument("--only", nargs="*", choices=TUNERS, help="only these")
    options = parser.parse_args()
    log = Log(options.models / "training.json")
    workshop = Workshop(options.comfyui.resolve(), options.work.resolve(), options.models.resolve())
    for name in options.only or TUNERS:
        began = time.monotonic()
        loss = workshop.train(name, TUNERS[name])
        minutes = (time.monotonic() - began) / 60
        log.say(f"{name}: loss {loss:.4f}, {minutes:.1f} min")
        log.note(name, steps=TUNERS[name].steps, loss=round(loss, 4), minutes=round(minutes, 1))


if __name__ == "__main__":
    main()
