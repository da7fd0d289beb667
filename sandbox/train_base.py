"""Train the sandbox's checkpoint on the drawn world: first the VAE, then text model and U-Net together.

    python train_base.py --comfyui PATH --work FOLDER --models FOLDER [--part vae|latents|unet|export]

About three hours on two CPU cores. Everything is seeded; a run that was cut goes on where it stopped.
The last step writes checkpoints/scedit_sandbox.safetensors into the models folder.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import world
from base_model import Average, BaseNet
from muon import Muon
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from slim_vae import LATENT, SlimVAE, padded
from torch import Tensor
from train_vae import load_vae, to_tensor, train_vae
from training_run import Log, import_model, save_atomic, warm_hold_decay

MATRIX_RATE, RATE = 4e-3, 1e-3  # Muon's and AdamW's
EMA, CAPTION_DROPOUT, SAVE_EVERY = 0.99, 0.12, 100


@dataclass(frozen=True)
class Phase:
    """Part of the training at one picture size, on these scenes; `until` counts the steps of all phases."""

    side: int
    scenes: range
    until: int
    batch: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.side}_{self.scenes.start}"


@dataclass(frozen=True)
class Round:
    """Phases under one course of the rates: `rate` is their factor, `decay` the share of steps they fall in.

    Each round starts from the averaged weights of the one before, rounded as the checkpoint keeps them.
    """

    phases: tuple[Phase, ...]
    rate: float
    decay: float


# small pictures teach what things are at a quarter of the cost; the second round sees new scenes
ROUNDS = (
    Round((Phase(128, range(8000), 800, 16), Phase(256, range(3000), 2100, 8)), 1.0, 0.5),
    Round((Phase(256, range(8000, 14000), 5300, 8),), 0.6, 0.85),
    Round((Phase(256, range(14000, 22000), 10300, 8),), 0.6, 0.85),
)
PHASES = tuple(phase for part in ROUNDS for phase in part.phases)
PROMPTS = (
    "a red circle and a small blue square on a white background",
    "a large yellow star on grass under a blue sky",
    "a green tree and a red house on snow under an evening sky",
    "a purple triangle on a yellow background",
    "an orange house on sand under a dark sky",
    "a small black star and a white circle on a green background",
    "a large blue square on a pink background",
    "a pink tree, a small red triangle and an orange star on a black background",
)


# --- latents ---------------------------------------------------------------------------------------------


def encode_scenes(vae: SlimVAE, seeds: range, side: int) -> tuple[np.ndarray, list[str]]:
    """Latents float16 `(N, 4, side/8, side/8)` of scenes scaled to `side`, and their captions."""
    latents, captions = [], []
    for first in range(seeds.start, seeds.stop, 16):
        scenes = [world.scene(seed) for seed in range(first, min(first + 16, seeds.stop))]
        pictures = to_tensor(np.stack([scene.picture for scene in scenes]))
        if side != world.SIZE:
            pictures = F.interpolate(pictures, (side, side), mode="area")
        with torch.no_grad():
            latents.append(vae.encode(pictures).half().numpy())
        captions += [scene.caption for scene in scenes]
    return np.concatenate(latents), captions


def _encode_part(work: Path, seeds: range, side: int) -> tuple[np.ndarray, list[str]]:
    torch.set_num_threads(1)
    return encode_scenes(load_vae(work), seeds, side)


def make_latents(work: Path, log: Log) -> None:
    """FOLDER/latents_<phase>.npy for every phase, and all captions; one process per core."""
    cores = os.cpu_count() or 1
    for phase in PHASES:
        target = work / f"latents_{phase.name}.npy"
        if target.exists():
            continue
        firsts = range(phase.scenes.start, phase.scenes.stop, 500)
        parts = [range(first, min(first + 500, phase.scenes.stop)) for first in firsts]
        with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(_encode_part, [work] * len(parts), parts, [phase.side] * len(parts)))
        captions = work / f"captions_{phase.name}.json"
        captions.write_text(json.dumps([caption for _, some in made for caption in some]))
        np.save(target, np.concatenate([latents for latents, _ in made]))
        log.say(f"{len(phase.scenes)} scenes of {phase.side} pixels encoded")


# --- text model and U-Net --------------------------------------------------------------------------------


class BaseTraining:
    """A training of text model and U-Net that can be cut and resumed."""

    def __init__(self, work: Path, log: Log, model: ModuleType) -> None:
        torch.manual_seed(0)
        self.work, self.log = work, log
        self.net = BaseNet(model)
        self.step, self.seconds, self.losses = 0, 0.0, []
        self.vae = load_vae(work)
        everything = json.loads((work / f"captions_{PHASES[0].name}.json").read_text())
        self.net.know([*everything, ""])
        self.average = Average(self.net, EMA)

    def run(self) -> None:
        """Train all rounds to their ends."""
        first = 0
        for part in ROUNDS:
            self.round, self.first, last = part, first, part.phases[-1].until
            state = self._state()
            if state is None or state["step"] < last:
                self._begin(state)
                for phase in part.phases:
                    self._run(phase)
            first = last

    def _begin(self, state: dict[str, Any] | None) -> None:
        """Take up what a cut round left, or start one from the average of the last."""
        matrices, others = self.net.matrices()
        self.optimizers = (
            (Muon(matrices, MATRIX_RATE), MATRIX_RATE),
            (torch.optim.AdamW(others, RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True), RATE),
        )
        if state is None:
            return
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.average.weights = state["average"]
        if self.step > self.first:
            self.net.load_state_dict(state["net"])
            for (optimizer, _), saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            return
        for weight in self.average.weights.values():
            weight.copy_(weight.half())
        self.net.load_state_dict(self.average.weights)

    def _run(self, phase: Phase) -> None:
        latents = np.load(self.work / f"latents_{phase.name}.npy", mmap_mode="r")
        captions = json.loads((self.work / f"captions_{phase.name}.json").read_text())
        tokens = [self.net.tokens(caption) for caption in captions]
        empty = self.net.tokens("")
        while self.step < phase.until:
            began = time.monotonic()
            rng = np.random.default_rng([2, self.step])
            chosen = np.sort(rng.choice(len(latents), phase.batch, replace=False))
            dropped = rng.random(phase.batch) < CAPTION_DROPOUT
            said = [empty if drop else tokens[n] for n, drop in zip(chosen, dropped, strict=True)]
            self._learn(torch.from_numpy(latents[chosen]).float(), said)
            self.seconds += time.monotonic() - began
            if self.step % 50 == 0:
                pace = time.monotonic() - began
                self.log.say(
                    f"step {self.step}, loss {np.mean(self.losses[-50:]):.4f}, {pace:.2f} s per step"
                )
            if self.step % SAVE_EVERY == 0 or self.step == phase.until:
                self._save(phase)

    def _learn(self, latents: Tensor, tokens: list[list[int]]) -> None:
        loss = self.net.velocity_loss(latents, tokens, torch.Generator().manual_seed(self.step))
        self.net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        done, steps = self.step - self.first, self.round.phases[-1].until - self.first
        factor = self.round.rate * warm_hold_decay(done, steps, self.round.decay)
        for optimizer, rate in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
        self.step += 1
        self.losses.append(loss.item())
        self.average.update(self.net, self.step)

    def _state(self) -> dict[str, Any] | None:
        file = self.work / "unet.pt"
        return torch.load(file, weights_only=True) if file.exists() else None

    def _save(self, phase: Phase) -> None:
        state = {"step": self.step, "seconds": self.seconds, "losses": self.losses}
        state |= {"net": self.net.state_dict()}
        state |= {"optimizers": [optimizer.state_dict() for optimizer, _ in self.optimizers]}
        save_atomic({**state, "average": self.average.weights}, self.work / "unet.pt")
        curve = [round(float(np.mean(self.losses[i : i + 200])), 4) for i in range(0, len(self.losses), 200)]
        self.log.note("unet", steps=self.step, minutes=round(self.seconds / 60, 1), loss_per_200_steps=curve)
        self._show(phase)

    def _show(self, phase: Phase) -> None:
        """Samples of the averaged weights: FOLDER/samples_<step>.png."""
        kept = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.average.weights)
        with torch.no_grad():
            pictures = self.vae.decode(self.net.sample(PROMPTS, phase.side // 8)).clamp(0, 1)
        self.net.load_state_dict(kept)
        rows = (pictures.movedim(1, -1) * 255).round().byte().numpy()
        half = len(rows) // 2
        sheet = np.vstack([np.hstack(list(rows[:half])), np.hstack(list(rows[half:]))])
        Image.fromarray(sheet).save(self.work / f"samples_{self.step:05d}.png")


# --- export ----------------------------------------------------------------------------------------------


def export(work: Path, models: Path, model: ModuleType) -> Path:
    """Write the checkpoint into a models folder: fp16, in the layout that CheckpointLoaderSimple reads."""
    average = torch.load(work / "unet.pt", weights_only=True)["average"]
    from comfy.taesd.taesd import TAESD

    slim = load_vae(work).state_dict()
    with torch.device("meta"):
        host = TAESD(latent_channels=LATENT).state_dict()
    vae = padded(slim, {key: value for key, value in host.items() if key.startswith("taesd_")})
    vae["vae_scale"] = torch.tensor(model.SCEditSandbox.latent_format().scale_factor)
    vae["vae_shift"] = torch.tensor(0.0)
    parts = {
        "model.diffusion_model.": _below("unet.", average),
        "cond_stage_model.clip_l.": _below("text.", average),
        "first_stage_model.": vae,
    }
    target = models / "checkpoints" / "scedit_sandbox.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    weights = {p + key: w.half().contiguous() for p, part in parts.items() for key, w in part.items()}
    partial = target.with_suffix(".partial")
    partial.write_bytes(safetensors_bytes(weights))
    os.replace(partial, target)
    return target


def _below(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sandbox's checkpoint on the drawn world.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--work", type=Path, required=True, help="where everything goes")
    parser.add_argument("--models", type=Path, required=True, help="models folder that gets the checkpoint")
    parser.add_argument("--part", choices=["vae", "latents", "unet", "export"], help="only this")
    options = parser.parse_args()
    work: Path = options.work
    for folder in (work, options.models):
        folder.mkdir(parents=True, exist_ok=True)
    log = Log(options.models / "training.json")
    parts = [options.part] if options.part else ["vae", "latents", "unet", "export"]
    if "vae" in parts:
        train_vae(work, log)
    if "latents" in parts:
        make_latents(work, log)
    if not {"unet", "export"} & set(parts):
        return
    model = import_model(options.comfyui.resolve())
    if "unet" in parts:
        BaseTraining(work, log, model).run()
    if "export" in parts:
        log.say(f"wrote {export(work, options.models, model)}")


if __name__ == "__main__":
    main()
