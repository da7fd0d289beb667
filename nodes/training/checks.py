"""Whether pictures and captions are ones that a model can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...scedit_core import SCEditError

_SMALLEST = 2  # sides of a latent: at 1 a small model's normalization has nothing to compare


def check_latents(model: Any, latents: Sequence[dict[str, Any]]) -> None:
    """Refuse latents of another model. Those that are of no picture at all are left to others."""
    wanted = model.model.latent_format.latent_channels
    for shape in (tuple(latent["samples"].shape) for latent in latents):
        if len(shape) == 4 and (shape[1] != wanted or min(shape[2:]) < _SMALLEST):
            raise SCEditError(
                f"a latent has shape {shape}, but this model learns from {wanted} channels of {_SMALLEST} x "
                f"{_SMALLEST} or more; encode the pictures with the VAE of the model, at 16 x 16 pixels or "
                "more"
            )


def check_captions(model: Any, captions: Sequence[list[Any]]) -> None:
    """Refuse captions that were encoded for another model, or hold nothing."""
    width = model.model.model_config.unet_config.get("context_dim")
    for conditioning in captions:
        if not conditioning:
            raise SCEditError("a CONDITIONING holds no caption; connect one of 'CLIP Text Encode'")
        for embedding, _ in conditioning:
            fits = embedding.ndim == 3 and embedding.numel() > 0 and width in (None, embedding.shape[-1])
            if not fits or not bool(torch.isfinite(embedding).all()):
                raise SCEditError(
                    f"a caption has shape {tuple(embedding.shape)} or holds NaN, but this model reads (1, "
                    f"tokens, {width}) of finite numbers; encode the captions with the CLIP of the model"
                )
