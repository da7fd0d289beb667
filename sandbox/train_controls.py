"""Train the sandbox's controls as jobs of train.py, on the checkpoint that train_base.py made.

    python train_controls.py --comfyui PATH --work FOLDER --models FOLDER [--only NAME ...]

Scenes become a folder of pictures, the folder a data set, the data set a control, which goes to
scedit/<NAME>/adapter_model.safetensors of --models. A training that was cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import train_job
import world
from measure import RATIO
from PIL import Image
from training_run import Log

PICTURES = {128: 1500, 256: 1000}  # by their side; small ones cost a quarter
LATE = 0.2  # of its rate a control learns at in the end, which is for details
READY = "from folder"  # hints that lie beside the pictures, drawn here
Drawing = Callable[[world.Scene, np.random.Generator], np.ndarray]


# --- hints -----------------------------------------------------------------------------------------------


def color_hint(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
    """Colour blocks: every other time those that are measured, else of a random size around it."""
    from scedit_pack.scedit_core.annotators.drawn.color import color

    ratio = RATIO if rng.random() < 0.5 else int(rng.integers(24, 65))
    return color(scene.picture, ratio * len(scene.picture) // world.SIZE)


def masked_hint(scene: world.Scene, rng: np.random.Generator) -> np.ndarray:
    """The scene with a box, or its border, blackened."""
    from scedit_pack.scedit_core.annotators.drawn.masked_image import masked_image

    picture = torch.from_numpy(scene.picture).movedim(-1, 0)[None]  # (1, 3, H, W)
    mask = torch.from_numpy(random_mask(rng))[None, None].float()  # fitted to the picture
    return masked_image(picture, mask)[0].movedim(0, -1).numpy()


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Bool `(256, 256)`: a box somewhere, or in a quarter of the cases all but a box (outpainting)."""
    mask = np.zeros((world.SIZE, world.SIZE), bool)
    height, width = rng.integers(64, 161, 2)
    top, left = rng.integers(0, world.SIZE - height), rng.integers(0, world.SIZE - width)
    mask[top : top + height, left : left + width] = True
    return ~mask if rng.random() < 0.25 else mask


def depth_hint(scene: world.Scene, _rng: np.random.Generator) -> np.ndarray:
    """How near every pixel is, from the scene's geometry; near is bright."""
    grey = (scene.nearness * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


# --- what is trained -------------------------------------------------------------------------------------

LEARNING = {
    "batch_size": 8, "accumulation": 1, "seed": 0, "caption_dropout": 0.1, "ema_decay": 0.98,
    "memory": "full speed",
}  # fmt: skip


@dataclass(frozen=True)
class Control:
    """A CSC-Tuner: what its hints are, and how long and how finely it learns.

    Without `draw` its hints are drawn by train.py, with the settings of the paper. Of what is drawn here a
    picture has one hint, so the scenes come in so many `copies`, each with another. `early` is the share of
    its steps at the whole `rate`.
    """

    condition: str
    steps: int
    draw: Drawing | None = None
    kernel: int = 3
    copies: int = 1
    rate: float = 2e-3
    early: float = 0.7

    @property
    def stages(self) -> tuple[dict[str, Any], ...]:
        """Up to which step it learns at which rate."""
        first = {"steps": int(self.early * self.steps), "learning_rate": self.rate}
        return first, {"steps": self.steps, "learning_rate": LATE * self.rate}


CONTROLS = {
    "canny_control": Control("canny", 2400, early=0.525),
    "color_control": Control("color", 3000, color_hint, kernel=1, copies=2),
    "inpainting_control": Control("masked image", 3000, masked_hint, copies=2),
    "depth_control": Control("depth", 250, depth_hint, kernel=1),
}


def write_pictures(folder: Path, control: Control) -> None:
    """The scenes with their captions, and their hints if train.py draws none, as a user has them."""
    done = folder / ".whole"
    if done.exists():
        return
    rng = np.random.default_rng(3)
    for side, count in PICTURES.items():
        for seed in range(count):
            scene = scaled(seed, side)
            for copy in range(control.copies):
                name = f"{side}/{seed}-{copy}"
                save(folder / f"{name}.png", scene.picture)
                (folder / f"{name}.txt").write_text(scene.caption, encoding="utf-8")
                if control.draw is not None:
                    save(folder / "hints" / f"{name}.png", control.draw(scene, rng))
    done.touch()


def save(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file)


def scaled(seed: int, side: int) -> world.Scene:
    """A scene with its picture and map `side` pixels wide."""
    scene = world.scene(seed)
    if side == world.SIZE:
        return scene
    return replace(scene, picture=resized(scene.picture, side), nearness=resized(scene.nearness, side))


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


# --- jobs ------------------------------------------------------------------------------------------------


class Jobs:
    """Has train.py do one thing after another, in this process."""

    def __init__(self, comfyui: Path, work: Path, checkpoint: Path) -> None:
        self._comfyui = comfyui
        self._work = work
        self._checkpoint = checkpoint
        self._train = train_job.loaded("train", train_job.SANDBOX.parent / "train.py")
        self._train.open_pack()

    def train(self, name: str, control: Control) -> tuple[Path, list[Any]]:
        """Train a control; its file, and what was told of each step."""
        folder = self._work / name
        folder.mkdir(parents=True, exist_ok=True)
        write_pictures(folder / "pictures", control)
        self._call("prepare", self._write(folder, name, control, control.stages[0]))
        for stage in control.stages:
            self._call("run", self._write(folder, name, control, stage))
            if json.loads((folder / "status.json").read_text())["state"] != "done":
                raise SystemExit(f"{name} was stopped; run this again to go on")
        told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return folder / f"{name}.safetensors", told

    def _write(self, folder: Path, name: str, control: Control, stage: dict[str, Any]) -> Path:
        """The job of one stage, which goes on with the state of the one before."""
        job_of = self._train.part("scedit_core.training.job.reading").job_of
        job_text = self._train.part("scedit_core.training.job.writing").job_text
        hint = control.condition if control.draw is None else READY
        tables = {
            "model": {"checkpoint": str(self._checkpoint)},
            "tuner": {"kind": "csc", "kernel": control.kernel},
            "data": {
                "folder": "pictures", "dataset": "dataset", "hints": [hint], "resolution": world.SIZE,
                "enlarge": False,
            },
            "training": LEARNING | stage,
            "run": {"name": name, "output": ".", "save_every": 100},
        }  # fmt: skip
        file = folder / "job.toml"
        file.write_text(job_text(job_of(tables, folder)), encoding="utf-8")
        return file

    def _call(self, command: str, job: Path) -> None:
        status = self._train.main([command, str(job), "--comfyui", str(self._comfyui)], ready=register)
        if status:
            raise SystemExit(status)


def register() -> None:
    """Have ComfyUI know the sandbox's model, in the order of memory that is a third faster on a CPU."""
    train_job.register().SCEditSandbox.memory_format = torch.channels_last


def save_control(source: Path, name: str, condition: str, target: Path) -> None:
    """What a job made, as the repository brings it: half the size, and saying what it is."""
    from scedit_pack.scedit_core import read_tuners, save_checkpoint
    from scedit_pack.scedit_core.convert import check_range

    checkpoint, tuners = read_tuners(source)
    check_range(tuners.state_dict(), torch.float16)
    told = {
        "modelspec.title": f"{name} of the sandbox",
        "modelspec.description": "A toy for the sandbox's miniature model",
        "modelspec.license": "Apache-2.0",
        "scedit.condition": condition,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(tuners.half(), target, {**checkpoint.metadata, **told})


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sandbox's controls by train.py.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--work", type=Path, required=True, help="a folder for pictures, data sets and jobs")
    parser.add_argument("--models", type=Path, required=True, help="models folder that gets the controls")
    parser.add_argument("--base", type=Path, help="models folder with the checkpoint, if it is another")
    parser.add_argument("--only", nargs="*", choices=CONTROLS, help="only these")
    parser.add_argument("--steps", type=int, help="fewer than it takes, for a look")
    options = parser.parse_args()
    models = options.models.resolve()
    log = Log(models / "training.json")
    checkpoint = (options.base or models).resolve() / "checkpoints" / "scedit_sandbox.safetensors"
    jobs = Jobs(options.comfyui.resolve(), options.work.resolve(), checkpoint)
    for name in options.only or CONTROLS:
        control = replace(CONTROLS[name], steps=options.steps or CONTROLS[name].steps)
        made, told = jobs.train(name, control)
        save_control(made, name, control.condition, models / "scedit" / name / "adapter_model.safetensors")
        loss = float(np.mean([one["loss"] for one in told[-50:]]))
        minutes = sum(one["seconds"] for one in told) / 60
        log.say(f"{name}: loss {loss:.4f}, {minutes:.1f} min")
        log.note(name, steps=control.steps, loss=round(loss, 4), minutes=round(minutes, 1))


if __name__ == "__main__":
    main()
