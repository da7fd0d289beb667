"""A small picture of what a training has learnt so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import comfy.k_diffusion.sampling
import comfy.samplers
import latent_preview
import numpy as np
import torch
from torch import Tensor

from ...scedit_core.hint import PIXELS_PER_LATENT
from ...scedit_core.training import Batch, Trainer
from ...scedit_core.training.dataset.order import generator

_STEPS, _GUIDANCE = 20, 5.0


@torch.no_grad()
def draw_preview(trainer: Trainer) -> np.ndarray:
    """The first picture's caption and hints, sampled with fixed noise: (H, W, 3), uint8."""
    no_caption = trainer.data.without_caption(0)
    look = Look(_STEPS, _GUIDANCE, generator(trainer.config.seed, "preview"))
    base: Any = trainer.base
    return _to_rgb(sampled(trainer, trainer.data.first(), no_caption, look), base.latent_format)


class Look(NamedTuple):
    """How a picture is sampled: in so many steps, drawn to its caption by so much, from this noise."""

    steps: int
    guidance: float
    draw: torch.Generator


@torch.no_grad()
def sampled(trainer: Trainer, batch: Batch, no_caption: Any, look: Look) -> Tensor:
    """The latent that the model paints with what was learnt so far, of one picture's caption and hints.

    Without a caption that stands for none, it paints without guidance.
    """
    base: Any = trainer.base
    latents = batch.latents.to(base.device, torch.float32)
    noise = torch.randn(latents.shape, generator=look.draw).to(base.device)
    sigmas = comfy.samplers.calculate_sigmas(base.sampling, "normal", look.steps).to(base.device)
    with trainer.autocast():
        edits = trainer.edits(batch)

        def denoise(x: Tensor, sigma: Tensor, **_extra: Any) -> Tensor:
            wanted = base.denoised(x, sigma, batch.captions, edits)
            if no_caption is None:
                return wanted
            plain = base.denoised(x, sigma, (no_caption,), edits)
            return plain + look.guidance * (wanted - plain)

        start = base.noised(torch.zeros_like(latents), noise, sigmas[:1])
        return comfy.k_diffusion.sampling.sample_euler(denoise, start, sigmas, disable=True)


def _to_rgb(latent: Tensor, latent_format: Any) -> np.ndarray:
    """The previews that ComfyUI's samplers show: as the user chose them, else straight from the latent."""
    previewer = latent_preview.get_previewer(latent.device, latent_format)
    if previewer is None:
        factors = (latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
        previewer = latent_preview.Latent2RGBPreviewer(*factors)
    image = previewer.decode_latent_to_preview(latent)
    size = (PIXELS_PER_LATENT * latent.shape[-1], PIXELS_PER_LATENT * latent.shape[-2])
    return np.asarray(image.resize(size).convert("RGB"))
