"""The sandbox as a place to teach in: small scenes, trainings, and pictures of what was learnt."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "sandbox"))

import world  # noqa: E402 - the sandbox's modules lie in its own folder
from graphs import CFG  # noqa: E402
from measure import edges  # noqa: E402
from train_controls import scaled  # noqa: E402
from train_styles import COMMON, Workshop, as_images  # noqa: E402

SIDE, SCENES, HELD_OUT, SAMPLING = 128, 300, 12, 12


class Bench:
    """The sandbox with small scenes, and what is measured of a MODEL or a prompt."""

    def __init__(self, work: Path, ways: Sequence[str] = ()) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.ways = work, ways
        self.shop = Workshop(Path(os.environ["COMFYUI_PATH"]), work, REPOSITORY / "sandbox" / "models")
        self.pack, self.model = self.shop.pack, self.shop.model
        self.held_out = [scaled(seed, SIDE) for seed in world.HELD_OUT[:HELD_OUT]]
        draw = torch.Generator().manual_seed(1)
        self.noise = torch.randn(HELD_OUT, 4, SIDE // 8, SIDE // 8, generator=draw)
        captions = [self.shop.caption(scene.caption)[0] for scene in self.held_out]
        self.prompt = [[torch.cat([tensor for tensor, _ in captions]), captions[0][1]]]
        self.hints = torch.cat([hint_of(scene) for scene in self.held_out])
        self.found: dict[str, Any] = {}

    @cached_property
    def scenes(self) -> list[world.Scene]:
        return [scaled(seed, SIDE) for seed in range(SCENES)]

    def latents(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            return [{"samples": self.shop.vae.encode(as_images([picture]))} for picture in pictures]

    @cached_property
    def ordinary(self) -> list[dict[str, Any]]:
        """The scenes' latents."""
        return self.latents([scene.picture for scene in self.scenes])

    def node(self, name: str, **inputs: Any) -> Any:
        """First output of a node."""
        with torch.inference_mode():
            return self.shop.nodes[name].execute(**inputs).args[0]

    def paint(self, model: Any, control: Callable[[Any], Any] = lambda prompt: prompt) -> np.ndarray:
        """The held-out captions, as KSampler paints them; `control` adds to the prompt."""
        import comfy.sample

        prompts = [control(self.prompt), self.shop.caption("")]
        with torch.inference_mode():
            latent = comfy.sample.sample(
                model, self.noise, SAMPLING, CFG, "euler", "normal", *prompts, 0 * self.noise, seed=1,
                disable_pbar=True,
            )  # fmt: skip
            pictures = self.shop.vae.decode(latent)
        return (pictures.clamp(0, 1) * 255).round().byte().numpy()

    def train(self, kind: str, name: str, data: Mapping[str, Any], steps: int, **widgets: Any) -> Any:
        """A student after so many steps; a state from before goes on."""
        settings = COMMON | {"save_every": 0, "name": name, "steps": steps} | widgets
        with torch.inference_mode():
            given = {key: [value] for key, value in settings.items()}
            return self.shop.nodes[f"SCEditTrain{kind}Tuner"].execute(**data, **given).args[0]

    def note(self, what: str, **figures: Any) -> None:
        """Print figures, and keep them in a file."""
        self.found[what] = figures
        print(what, json.dumps(figures), flush=True)
        (self.work / "figures.json").write_text(json.dumps(self.found, indent=1) + "\n")


def hint_of(scene: world.Scene) -> torch.Tensor:
    """The canny hint that pictures are measured against."""
    return as_images([np.repeat(edges(scene.picture)[..., None], 3, -1) * np.uint8(255)])
