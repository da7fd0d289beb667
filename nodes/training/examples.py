"""Pictures, captions and hints as they come over links, made into examples for a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.hint import to_hint
from ...scedit_core.training import Example, TrainingSet
from ...scedit_core.training.dataset.buckets import SIZE_NAMES
from ..patching.captions import check_captions

_SMALLEST = 2  # sides of a latent: at 1 a small model's normalization has nothing to compare


def to_training_set(
    model: Any,
    pictures: tuple[Sequence[dict[str, Any]], Sequence[list[Any]]],
    hints: Sequence[Sequence[Tensor]],
    empty: Sequence[list[Any]] | None,
    buckets: bool,
) -> TrainingSet:
    """Examples from lists of LATENT and CONDITIONING, and for each control a list of IMAGE."""
    _check_latents(model, pictures[0])
    check_captions(model, [*pictures[1], *(empty or [])[:1]])
    with torch.inference_mode(False):
        latents = _latents(model, pictures[0])
        captions = _captions(pictures[1], len(latents))
        rows = [_hints(images, len(latents), number) for number, images in enumerate(hints)]
        no_caption = _recordable(empty[0][0]) if empty else None
        empties = _dropped(no_caption, captions) if empty else [None] * len(captions)
        examples = [
            Example(latent, caption, tuple(row[i] for row in rows), without)
            for i, (latent, caption, without) in enumerate(zip(latents, captions, empties, strict=True))
        ]
        return TrainingSet(examples, no_caption, buckets=buckets)


def _check_latents(model: Any, latents: Sequence[dict[str, Any]]) -> None:
    """Refuse latents of another model. `_latents` refuses those that are of no picture at all."""
    wanted = model.model.latent_format.latent_channels
    for shape in (tuple(latent["samples"].shape) for latent in latents):
        if len(shape) == 4 and (shape[1] != wanted or min(shape[2:]) < _SMALLEST):
            raise SCEditError(
                f"a latent has shape {shape}, but this model learns from {wanted} channels of {_SMALLEST} x "
                f"{_SMALLEST} or more; encode the pictures with the VAE of the model, at 16 x 16 pixels or "
                "more"
            )


def _latents(model: Any, latents: Sequence[dict[str, Any]]) -> list[Tensor]:
    """Latents (C, h, w) at the model's scale."""
    if not latents:
        raise SCEditError("there is nothing to train on: no pictures came in; connect a list of latents")
    single = []
    for latent in latents:
        samples = latent["samples"]
        if samples.ndim != 4:
            raise SCEditError(
                f"a latent has shape {tuple(samples.shape)}, expected (pictures, channels, height, width); "
                "a video or audio latent cannot be trained on: encode single pictures"
            )
        single += model.model.process_latent_in(samples.clone().float()).unbind(0)
    return single


def _captions(positive: Sequence[list[Any]], count: int) -> list[Any]:
    flat = [entry for conditioning in positive for entry in conditioning]
    if not flat:
        raise SCEditError(
            "there are no captions: connect one CONDITIONING per picture, or a single one for all"
        )
    if len(flat) not in (1, count):
        raise SCEditError(
            f"there are {len(flat)} captions for {count} pictures; give one per picture in the same order, "
            "or a single one for all"
        )
    entries = _recordable(flat)
    return entries * count if len(entries) == 1 else entries


def _hints(images: Sequence[Tensor], count: int, number: int) -> list[Tensor]:
    """Per picture its drawings (V, 3, H, W); a single batch of as many hints as pictures is taken apart."""
    hints = [to_hint(image.clone()) for image in images if image is not None]
    if len(hints) == 1 and count > 1:
        hints = list(rearrange(hints[0], "n c h w -> n 1 c h w"))
    if len(hints) != count:
        raise SCEditError(
            f"hint{number} has {len(hints)} images for {count} pictures; give one per picture in the same "
            "order"
        )
    return hints


def _dropped(empty: Any, captions: Sequence[Any]) -> list[Any]:
    """For each caption the empty one with the sizes of its picture, which stay when a text is dropped."""
    sizes = [{name: known[name] for name in SIZE_NAMES if name in known} for _, known in captions]
    # one for all pictures of the same sizes: the model's host prepares each caption once
    made = {repr(told): [empty[0], {**empty[1], **told}] for told in sizes}
    return [made[repr(told)] for told in sizes]


def _recordable(value: Any) -> Any:
    """A copy, made outside of inference mode, of the tensors in a conditioning or a latent."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _recordable(item) for key, item in value.items()}
    return [_recordable(item) for item in value] if isinstance(value, list) else value
