"""Whether captions were encoded for a MODEL, said before it stumbles over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...scedit_core import SCEditError


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
