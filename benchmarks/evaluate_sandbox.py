"""What 'Evaluate Tuner' says of the sandbox's own tuners, on held-out scenes.

    python dev.py bench evaluate_sandbox [TUNER ...] [--pictures 4] [--seeds 2] [--steps 20] [--out FOLDER]

Prints a row of a table for each tuner, all seven if none is named. With --out sheets and JSON go there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from workbench import REPOSITORY, load_pack

sys.path.append(str(REPOSITORY / "sandbox"))
import comfy.sd
import cv2
import model as sandbox
import world

MODELS = REPOSITORY / "sandbox" / "models"
CONTROLS = ("canny_control", "color_control", "depth_control", "inpainting_control")
STYLES = ("night", "watercolour", "sunset")
CFG = 1.5


class Bench:
    """The sandbox's model and the pack."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.pack = load_pack()
        self.pack.nodes.files.folders.register_annotator_folder()
        sandbox.register()
        path = MODELS / "checkpoints" / "scedit_sandbox.safetensors"
        self.model, self.clip, self.vae = comfy.sd.load_checkpoint_guess_config(str(path))[:3]

    def evaluate(self, name: str) -> tuple[Any, float]:
        """What the node puts out, and how many seconds it took."""
        began = time.monotonic()
        tuner = self.pack.nodes.files.hosted.read_hosted(name, MODELS / "scedit" / name)[1]
        socket = "tuner" if name in STYLES else "control"
        asked = {name: getattr(self.options, name) for name in ("pictures", "seeds", "steps")}
        widgets = {name: [value] for name, value in {**asked, "cfg": CFG}.items()}
        with torch.inference_mode():
            node = self.pack.nodes.evaluation.node.SCEditEvaluateTuner
            given = {"model": [self.model], "vae": [self.vae], socket: [tuner], **self._scenes(name)}
            output = node.execute(**given, **widgets)
        return output, time.monotonic() - began

    def _scenes(self, name: str) -> dict[str, list[Any]]:
        """Held-out scenes as 'Training Folder' hands them on, with hints as the tuner learnt them."""
        made: dict[str, list[Any]] = {"latents": [], "positive": [], "hints": []}
        for scene in map(world.scene, world.HELD_OUT[: self.options.pictures]):
            side = self.options.size
            photo = cv2.resize(scene.picture, (side, side), interpolation=cv2.INTER_AREA)
            shown = world.STYLES[name](photo) if name in STYLES else photo
            made["latents"].append({"samples": self.vae.encode(image(shown))})
            made["positive"].append(self._encoded(scene.caption))
            if name in CONTROLS:
                made["hints"].append(image(self._hint(name, photo, scene)))
        made["empty"] = [self._encoded("")]
        return {key: values for key, values in made.items() if values}

    def _hint(self, name: str, photo: np.ndarray, scene: Any) -> np.ndarray:
        drawn, side = self.pack.scedit_core.annotators.drawn, len(photo)
        if name == "canny_control":
            return drawn.canny.canny(photo)
        if name == "color_control":
            return drawn.color.color(photo, side // 8)
        if name == "depth_control":
            near = (cv2.resize(scene.nearness, (side, side)) * 255).astype(np.uint8)
            return np.repeat(near[..., None], 3, -1)
        hole = photo.copy()
        hole[side // 4 : -side // 4, side // 4 : -side // 4] = 0
        return hole

    def _encoded(self, text: str) -> Any:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))


def image(pixels: np.ndarray) -> Tensor:
    """IMAGE of one picture."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float()[None] / 255


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tuners", nargs="*", help="names of the sandbox's tuners; all if none is given")
    for name, usual in (("pictures", 4), ("seeds", 2), ("steps", 20), ("size", 256)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--out", type=Path, help="folder for sheets and JSON")
    options = parser.parse_args(arguments)
    bench = Bench(options)
    print("| tuner | verdict | s |\n|---|---|---|", flush=True)
    for name in options.tuners or (*CONTROLS, *STYLES):
        output, seconds = bench.evaluate(name)
        print(f"| {name} | {output.args[3]} | {seconds:.0f} |", flush=True)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            Path(options.out, f"{name}.json").write_text(output.args[4], encoding="utf-8")
            Path(options.out, f"{name}.txt").write_text(output.ui["text"][0], encoding="utf-8")
            pixels = (output.args[2][0].numpy() * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(options.out / f"{name}.jpg", quality=90)


if __name__ == "__main__":
    main()
