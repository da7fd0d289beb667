"""What tells a VAE from others: latents of one are noise to another."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

_SAMPLED = 8  # numbers of each weight


def vae_fingerprint(vae: Any) -> str:
    """What tells a VAE from others, whatever the precision and the device that it was loaded to."""
    digest = hashlib.sha256()
    for key, weight in sorted(vae.first_stage_model.state_dict().items()):
        digest.update(f"{key} {tuple(weight.shape)}".encode())
        numbers = weight.detach().flatten()[:_SAMPLED].to(torch.bfloat16)  # what is left of each precision
        digest.update(numbers.float().cpu().numpy().tobytes())
    return digest.hexdigest()
