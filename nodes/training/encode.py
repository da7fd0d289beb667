"""Pictures and texts made into what models learn from: latents, captions and hints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import comfy.model_management
import node_helpers
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ...scedit_core.training.dataset.buckets import Crop
from ...scedit_core.training.dataset.folder import Folder, FolderSettings, load_hints
from ...scedit_core.training.dataset.listed import WORDS
from ...scedit_core.training.dataset.pictures import load_picture


def to_image(pixels: np.ndarray) -> Tensor:
    """IMAGE (N, H, W, 3), 0..1, from uint8 of the same shape."""
    return torch.from_numpy(pixels).float() / 255


def encode_texts(clip: Any, texts: Sequence[str], *, has_weights: bool = False) -> dict[str, Any]:
    """Conditioning by text, each encoded once; brackets are words of a caption, and weights in a prompt.

    Each keeps its text under WORDS, which samplers do not look at.
    """
    encoded = {}
    for text in dict.fromkeys(texts):
        comfy.model_management.throw_exception_if_processing_interrupted()
        tokens = clip.tokenize(text) if has_weights else clip.tokenize(text, disable_weights=True)
        conditioning = clip.encode_from_tokens_scheduled(tokens)
        encoded[text] = node_helpers.conditioning_set_values(conditioning, {WORDS: text})
    return encoded


def with_sizes(conditioning: Any, crop: Crop) -> Any:
    """A caption with the sizes that SDXL reads, as in its own training; other models ignore them."""
    return node_helpers.conditioning_set_values(conditioning, crop.sizes)


def encode_pictures(
    vae: Any, folder: Folder, crops: Sequence[Crop], settings: Sequence[FolderSettings]
) -> Iterator[tuple[dict[str, Tensor], list[Tensor]]]:
    """Latent and hints of each picture, in order: of each of the settings (V, H, W, 3), if it has hints."""
    for triplet, crop in zip(folder.triplets, crops, strict=True):
        picture = load_picture(triplet.picture, crop)
        hints = (load_hints(triplet, crop, picture, one) for one in settings)
        latent = {"samples": vae.encode(to_image(rearrange(picture, "h w c -> 1 h w c")))}
        yield latent, [to_image(drawn) for drawn in hints if drawn is not None]
