"""Train the sandbox's checkpoint on the drawn world: first the VAE, then text model and U-Net together.

    python train_base.py --comfyui PATH --work FOLDER --models FOLDER [--part vae|latents|unet|export]

About an hour and a half on two CPU cores. Everything is seeded; a run that was cut goes on where it stopped.
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

import numpy as np
import torch
import torch.nn.functional as F
import world
from base_model import Average, BaseNet
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from slim_vae import LATENT, SlimVAE, padded
from torch import Tensor
from training_run import Log, import_model, save_atomic, warm_cosine, warm_hold_decay

VAE_STEPS, VAE_BATCH, VAE_CROP, VAE_RATE = 2500, 8, 64, 2e-3
VAE_PICTURES = 800
STYLED = 0.15  # share of the VAE's pictures in one of the styles, so that it can show them
LATENT_NOISE = 0.05  # what the decoder learns to overlook

RATE, DECAY, EMA, CAPTION_DROPOUT, SAVE_EVERY = 6e-4, 200, 0.99, 0.12, 100


@dataclass(frozen=True)
class Phase:
    """Part of the training at one picture size, on so many scenes; `until` counts the steps of all phases.

    `gamma` is that of min-SNR; it leaves out high noise, where captions decide, so later phases go without.
    """

    side: int
    scenes: int
    until: int
    batch: int
    gamma: float = 0.0


# small pictures teach what things are at a quarter of the cost
PHASES = (Phase(128, 8000, 1000, 16, gamma=5), Phase(128, 8000, 1500, 16), Phase(256, 3000, 1850, 8))
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


# --- VAE -------------------------------------------------------------------------------------------------


def vae_pictures() -> np.ndarray:
    """Scenes uint8 `(N, 256, 256, 3)`, some of them styled."""
    rng = np.random.default_rng(0)
    pictures = np.empty((VAE_PICTURES, world.SIZE, world.SIZE, 3), np.uint8)
    for seed in range(VAE_PICTURES):
        picture = world.scene(seed).picture
        if rng.random() < STYLED:
            picture = world.STYLES[str(rng.choice(list(world.STYLES)))](picture)
        pictures[seed] = picture
    return pictures


def to_tensor(pictures: np.ndarray) -> Tensor:
    """`(B, 3, H, W)`, 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float() / 255


def vae_loss(made: Tensor, wanted: Tensor, latents: Tensor) -> Tensor:
    """Pixels, edges, and latents of mean 0 and variance 1 in every channel."""
    error = made - wanted
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    shape = mean.square().mean() + (spread - 1).square().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + 0.01 * shape


def psnr(vae: SlimVAE, seeds: range) -> float:
    """Mean over whole scenes, dB."""
    with torch.no_grad():
        values = []
        for seed in seeds:
            wanted = to_tensor(world.scene(seed).picture[None])
            made = vae.decode(vae.encode(wanted)).clamp(0, 1)
            values.append(-10 * torch.log10(F.mse_loss(made, wanted)).item())
    return sum(values) / len(values)


def crops(pictures: np.ndarray, step: int) -> Tensor:
    rng = np.random.default_rng([1, step])
    corners = rng.integers(0, world.SIZE - VAE_CROP + 1, (VAE_BATCH, 2))
    chosen = rng.integers(0, len(pictures), VAE_BATCH)
    return to_tensor(
        np.stack(
            [
                pictures[n, y : y + VAE_CROP, x : x + VAE_CROP]
                for n, (y, x) in zip(chosen, corners, strict=True)
            ]
        )
    )


def train_vae(work: Path, log: Log) -> None:
    """Train the VAE on crops; FOLDER/vae.pt."""
    torch.manual_seed(0)
    vae, state_file, step = SlimVAE(), work / "vae.pt", 0
    optimizer = torch.optim.AdamW(vae.parameters(), lr=VAE_RATE, weight_decay=1e-4)
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    if step >= VAE_STEPS:
        return
    pictures = vae_pictures()
    while step < VAE_STEPS:
        for group in optimizer.param_groups:
            group["lr"] = VAE_RATE * warm_cosine(step, VAE_STEPS)
        wanted = crops(pictures, step)
        latents = vae.encode(wanted)
        noisy = latents + LATENT_NOISE * torch.randn(latents.shape)
        loss = vae_loss(vae.decode(noisy), wanted, latents)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            quality = psnr(vae, world.HELD_OUT[:4])
            log.say(f"VAE step {step}/{VAE_STEPS}, loss {loss.item():.4f}, PSNR {quality:.2f} dB")
            save_atomic(
                {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, state_file
            )
    log.note(
        "vae", steps=VAE_STEPS, batch=VAE_BATCH, crop=VAE_CROP, psnr=round(psnr(vae, world.HELD_OUT[:32]), 2)
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


def load_vae(work: Path) -> SlimVAE:
    vae = SlimVAE()
    vae.load_state_dict(torch.load(work / "vae.pt", weights_only=True)["vae"])
    return vae.eval()


def make_latents(work: Path, log: Log) -> None:
    """FOLDER/latents_<side>.npy for every phase, and all captions; one process per core."""
    cores = os.cpu_count() or 1
    for side, count in {phase.side: phase.scenes for phase in PHASES}.items():
        target = work / f"latents_{side}.npy"
        if target.exists():
            continue
        parts = [range(first, min(first + 500, count)) for first in range(0, count, 500)]
        with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
            made = list(pool.map(_encode_part, [work] * len(parts), parts, [side] * len(parts)))
        captions = work / f"captions_{side}.json"
        captions.write_text(json.dumps([caption for _, some in made for caption in some]))
        np.save(target, np.concatenate([latents for latents, _ in made]))
        log.say(f"{count} scenes of {side} pixels encoded")


# --- text model and U-Net --------------------------------------------------------------------------------


class BaseTraining:
    """A training of text model and U-Net that can be cut and resumed."""

    def __init__(self, work: Path, log: Log, model: ModuleType) -> None:
        torch.manual_seed(0)
        self.work, self.log = work, log
        self.net = BaseNet(model)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step, self.seconds, self.losses = 0, 0.0, []
        self.vae = load_vae(work)
        everything = json.loads((work / f"captions_{PHASES[0].side}.json").read_text())
        self.net.know([*everything, ""])
        self.average = Average(self.net, EMA)
        self._resume()

    def run(self) -> None:
        """Train all phases to their ends."""
        for phase in PHASES:
            if self.step < phase.until:
                self._run(phase)

    def _run(self, phase: Phase) -> None:
        latents = np.load(self.work / f"latents_{phase.side}.npy", mmap_mode="r")
        captions = json.loads((self.work / f"captions_{phase.side}.json").read_text())
        tokens = [self.net.tokens(caption) for caption in captions]
        empty = self.net.tokens("")
        while self.step < phase.until:
            began = time.monotonic()
            rng = np.random.default_rng([2, self.step])
            chosen = np.sort(rng.choice(len(latents), phase.batch, replace=False))
            dropped = rng.random(phase.batch) < CAPTION_DROPOUT
            said = [empty if drop else tokens[n] for n, drop in zip(chosen, dropped, strict=True)]
            self._learn(torch.from_numpy(latents[chosen]).float(), said, phase.gamma)
            self.seconds += time.monotonic() - began
            if self.step % 50 == 0:
                pace = time.monotonic() - began
                self.log.say(
                    f"step {self.step}, loss {np.mean(self.losses[-50:]):.4f}, {pace:.2f} s per step"
                )
            if self.step % SAVE_EVERY == 0 or self.step == phase.until:
                self._save(phase)

    def _learn(self, latents: Tensor, tokens: list[list[int]], gamma: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * warm_hold_decay(self.step, PHASES[-1].until, DECAY)
        draw = torch.Generator().manual_seed(self.step)
        loss = self.net.velocity_loss(latents, tokens, draw, gamma)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.losses.append(loss.item())
        self.average.update(self.net, self.step)

    def _resume(self) -> None:
        file = self.work / "unet.pt"
        if not file.exists():
            return
        state = torch.load(file, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights = state["average"]
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]

    def _save(self, phase: Phase) -> None:
        state = {"step": self.step, "seconds": self.seconds, "losses": self.losses}
        state |= {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
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
    vae["vae_scale"] = torch.tensor(model.SCEditWorld.latent_format().scale_factor)
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
