"""What a tuner is trained for: to predict what the base model predicts of noised pictures, but better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..edit import PreparedEdit
from .dataset.examples import Batch
from .sketch import Sketch
from .teacher import Teaching


class BaseModel(Protocol):
    """The frozen diffusion model, as a training sees it; its host does all conversions.

    `sigmas` `(T,)` are the noise levels of its schedule, one per training timestep.
    """

    @property
    def sigmas(self) -> Tensor:
        """Noise levels, on the CPU."""
        ...

    @property
    def device(self) -> torch.device:
        """Device on which it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which it computes."""
        ...

    def noised(self, latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Latents `(B, C, h, w)` with noise of levels `(B,)`."""
        ...

    def denoised(
        self, noisy: Tensor, sigma: Tensor, captions: Sequence[Any], edits: Sequence[PreparedEdit]
    ) -> Tensor:
        """Its picture of `noisy` under these edits, `(B, C, h, w)`, float32."""
        ...

    def output_scale(self, sigma: Tensor) -> Tensor:
        """How far `denoised` moves when the network's output moves by 1, `(B,)`: sigma for epsilon."""
        ...

    def weights(self) -> Iterable[Tensor]:
        """Its own weights, which training leaves alone."""
        ...

    def sketches(self) -> Mapping[str, Sketch]:
        """What its pictures depend on, by what that is: "model" for its weights and what it predicts.

        The same in another process, on another device and in another float dtype. A host may add "patches"
        for changes of the weights, "edits" for tuners that it has already, and "others".
        """
        ...

    def fingerprint(self) -> str:
        """Hash of the model in training states of version 1, which can still be continued."""
        ...


def denoising_loss(
    base: BaseModel,
    batch: Batch,
    edits: Sequence[PreparedEdit],
    draws: Sequence[torch.Generator],
    min_snr_gamma: float,
    teaching: Teaching | None = None,
) -> Tensor:
    """Mean squared error of the network's output at random noise levels: of eps, v or whatever it predicts.

    It is the error against the true noise, or with `teaching` against what the teacher predicts.
    Level and noise of each picture come from its own one of `draws`, whichever others are in the batch.

    The error of the picture divided by `output_scale` is the error of the output, so one formula serves every
    parameterisation. `min_snr_gamma` > 0 weighs it by `min(SNR, gamma) / (weight of the output)`
    (arXiv 2303.09556, Section 3.4): for eps `min(SNR, gamma) / SNR`, for v `min(SNR, gamma) / (SNR + 1)`.
    """
    latents, noisy, sigma = noised_batch(base, batch, draws)
    # the teacher first: while it works, nothing of the student's is alive
    target = latents if teaching is None else teaching.target(latents, noisy, sigma, batch)
    picture = base.denoised(noisy, sigma, batch.captions, edits)
    scale = base.output_scale(sigma)
    error = ((picture - target) / scale.view(-1, 1, 1, 1)).square().mean((1, 2, 3))  # (B,)
    if min_snr_gamma > 0:
        error = error * scale.square() * _snr(base, sigma).clamp(max=min_snr_gamma)
    return error.mean()


def noised_batch(
    base: BaseModel, batch: Batch, draws: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents of a batch, the same with the drawn noise, both `(B, C, h, w)`, and the noise levels `(B,)`."""
    latents = batch.latents.to(base.device, torch.float32)
    drawn = [_noise(base, latents.shape[1:], draw) for draw in draws]
    levels, noises = zip(*drawn, strict=True)
    sigma = base.sigmas[torch.cat(levels)].to(base.device, torch.float32)
    return latents, base.noised(latents, torch.stack(noises).to(base.device), sigma), sigma


def _noise(base: BaseModel, shape: Sequence[int], draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise level `(1,)`, as a place in the schedule, and noise `(C, h, w)` of one picture."""
    level = torch.randint(len(base.sigmas), (1,), generator=draw)
    return level, torch.randn(shape, generator=draw)


def _snr(base: BaseModel, sigma: Tensor) -> Tensor:
    """Signal to noise ratio `(B,)`, from what the host makes of a signal of 1 and of a noise of 1."""
    one = torch.ones(len(sigma), 1, 1, 1, device=sigma.device)
    zero = torch.zeros_like(one)
    return (base.noised(one, zero, sigma) / base.noised(zero, one, sigma)).square().flatten()
