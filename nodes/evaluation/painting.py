"""Held-out pictures painted by the host's sampler, and denoising losses of them at fixed noise levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...scedit_core.training import Batch
from ...scedit_core.training.dataset.order import generator
from ..sampling import Sampling, painted

LEVELS = (0.125, 0.375, 0.625, 0.875)  # parts of the denoising: the middles of its quarters

Tick = Callable[[], None]


@dataclass(frozen=True)
class Settings(Sampling):
    """How pictures are painted, from which seeds, with the tuner at which strength."""

    seeds: tuple[int, ...] = (0, 1)
    strength: float = 1.0


def paint(model: Any, batch: Batch, no_caption: Any, settings: Settings, seed: int, tick: Tick) -> Tensor:
    """The latent `(1, C, h, w)`, at the VAE's scale, that a MODEL paints to a picture's caption.

    Without a caption that stands for none there is no guidance. `tick` is called after every step.
    """
    positive = [batch.captions[0]]
    negative = positive if no_caption is None else [no_caption]
    how = replace(settings, cfg=1.0) if no_caption is None else settings
    empty = torch.zeros(batch.latents.shape)
    samples = painted(model, (positive, negative), empty, how, seed, lambda *_: tick())
    return samples.float().cpu()


def losses(model: Any, batch: Batch, number: int) -> list[float]:
    """Mean squared error of the network's output at LEVELS, of one picture under the same noise each time.

    As in training: of eps, v or whatever the model predicts. One run of the host's sampling prepares all.
    """
    found: list[float] = []
    sampling = model.get_model_object("model_sampling")
    levels = [float(sampling.percent_to_sigma(level)) for level in LEVELS]
    draw = generator(number, "evaluation")
    drawn = torch.randn(len(LEVELS), *batch.latents.shape[1:], generator=draw)

    def look(denoise: Any, x: Tensor, _sigmas: Tensor, extra_args: dict[str, Any], **_more: Any) -> Tensor:
        latents, sigma = batch.latents.to(x).expand_as(x), torch.tensor(levels, device=x.device)
        picture = denoise(sampling.noise_scaling(sigma, drawn.to(x), latents), sigma, **extra_args)
        scale = sampling.calculate_denoised(sigma, torch.ones_like(x), torch.zeros_like(x))
        found.extend(((picture - latents) / scale).square().mean((1, 2, 3)).tolist())
        return x

    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": [batch.captions[0]]})
    empty, span = torch.zeros_like(drawn), torch.tensor([levels[0], 0.0])
    comfy.model_management.throw_exception_if_processing_interrupted()
    guider.sample(empty, empty, comfy.samplers.KSAMPLER(look), span, disable_pbar=True, seed=0)
    return found


def turned(count: int) -> Sequence[int]:
    """Whose hint each picture gets where hints are exchanged: the next one's, and the last the first's."""
    return [(number + 1) % count for number in range(count)]
