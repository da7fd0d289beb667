"""The sandbox's VAE: trained on crops of drawn scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import world
from slim_vae import SlimVAE
from torch import Tensor
from training_run import Log, save_atomic, warm_cosine

VAE_STEPS, VAE_BATCH, VAE_CROP, VAE_RATE = 2500, 8, 64, 2e-3
VAE_PICTURES = 800
STYLED = 0.15  # share of the VAE's pictures in one of the styles, so that it can show them
LATENT_NOISE = 0.05  # what the decoder learns to overlook


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


def load_vae(work: Path) -> SlimVAE:
    vae = SlimVAE()
    vae.load_state_dict(torch.load(work / "vae.pt", weights_only=True)["vae"])
    return vae.eval()
