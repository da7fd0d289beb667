"""Train the sandbox's styles with the pack's own training nodes, on the checkpoint that train_base.py made.

    python train_styles.py --comfyui PATH --work FOLDER --models FOLDER [--only NAME ...]

Both folders are those of train_base.py; --models gets scedit/<NAME>/adapter_model.safetensors. A training
that was cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import world
from training_run import Log, import_model

REPOSITORY = Path(__file__).resolve().parent.parent
STYLE_PICTURES = 30


# --- what is trained -------------------------------------------------------------------------------------

COMMON = {
    "batch_size": 8, "accumulation": 1, "seed": 0, "tuner_op": "adapter", "ratio": 1.0,
    "caption_dropout": 0.1, "ema_decay": 0.98, "save_every": 100, "memory": "full speed",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """An SC-Tuner: which of the world's styles it learns, and the seeds of the scenes it sees in it."""

    style: str
    steps: int
    rate: float = 2e-3
    pictures: Sequence[int] = range(STYLE_PICTURES)


STYLES = {
    "night": Style("night", 150, rate=3e-4),  # gently: it darkens, and edges must stay
    "watercolour": Style("watercolour", 250),
    # briefly, for six pictures are soon known by heart: scenes of six unlike grounds and skies
    "sunset": Style("sunset", 100, rate=1e-3, pictures=(2, 5, 11, 17, 21, 22)),
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

    def train(self, name: str, job: Style) -> float:
        """Train and save one style; the mean loss of its last 50 steps."""
        with torch.inference_mode():
            tuner = self._style(name, job)
            self.nodes["SCEditSaveTuner"].execute(
                tuner=tuner,
                name=f"{name}/adapter_model",
                if_exists="replace it",
                dtype="fp16",
                title=f"{name} of the sandbox",
                condition="",
                description="A toy for the sandbox's miniature model",
                license="Apache-2.0",
            )
        for unfinished in (self.models / "scedit").glob(f"{name}-step*.safetensors"):
            unfinished.unlink()
        return float(tuner.metadata["scedit.train.loss"])

    def _style(self, name: str, job: Style) -> Any:
        scenes = [world.scene(seed) for seed in job.pictures]
        pictures = [world.STYLES[job.style](scene.picture) for scene in scenes]
        data = {
            "model": [self.model],
            "latents": [{"samples": self.vae.encode(as_images([picture]))} for picture in pictures],
            "positive": [self.caption(scene.caption) for scene in scenes],
            "empty": [self.caption("")],
        }
        widgets = COMMON | {"name": name, "steps": job.steps, "learning_rate": job.rate}
        node = self.nodes["SCEditTrainSCTuner"]
        return node.execute(**data, **{key: [value] for key, value in widgets.items()}).args[0]


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
    importlib.import_module("scedit_pack.nodes")
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sandbox's styles with the pack's training nodes.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--work", type=Path, required=True, help="the folder of train_base.py")
    parser.add_argument("--models", type=Path, required=True, help="models folder that gets the styles")
    parser.add_argument("--only", nargs="*", choices=STYLES, help="only these")
    options = parser.parse_args()
    log = Log(options.models / "training.json")
    workshop = Workshop(options.comfyui.resolve(), options.work.resolve(), options.models.resolve())
    for name in options.only or STYLES:
        began = time.monotonic()
        loss = workshop.train(name, STYLES[name])
        minutes = (time.monotonic() - began) / 60
        log.say(f"{name}: loss {loss:.4f}, {minutes:.1f} min")
        log.note(name, steps=STYLES[name].steps, loss=round(loss, 4), minutes=round(minutes, 1))


if __name__ == "__main__":
    main()
