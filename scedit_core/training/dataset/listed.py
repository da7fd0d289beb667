"""Examples that are all in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SCEditError

if TYPE_CHECKING:
    from .examples import Example

WORDS = "scedit_words"  # under which a CONDITIONING keeps the text that it was encoded from


class ListedExamples:
    """A list of examples as what a TrainingSet learns from. SCEditError for a list that cannot be learnt."""

    threads = 0  # there is nothing to wait for

    def __init__(self, examples: Sequence[Example]) -> None:
        _check(examples)
        self._examples = tuple(examples)
        self.channels = len(examples[0].latent)
        self.hints = len(examples[0].hints)
        self.shapes = np.array([tuple(example.latent.shape[-2:]) for example in examples])

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, number: int) -> Example:
        """Example 0, 1, ..."""
        return self._examples[number]

    def encoded(self, captions: Sequence[Any]) -> Sequence[Any]:
        """The captions, which are what the base model takes already."""
        return captions

    def fingerprint(self) -> str:
        """Changes when the latents, the captions, the number of hints or points on their grid change."""
        digest = hashlib.sha256()
        for example in self._examples:
            for part in _parts(example.caption):
                digest.update(part)
            digest.update(repr([tuple(t.shape) for t in (example.latent, *example.hints)]).encode())
            for tensor in (example.latent, *(hint[..., ::31, ::31] for hint in example.hints)):
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        return digest.hexdigest()


def _parts(caption: Any) -> Iterator[bytes]:
    """What tells one caption from another: its texts, numbers and tensors, however nested."""
    if isinstance(caption, Tensor):
        yield caption.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    elif isinstance(caption, dict):
        keys = sorted(caption.keys() - {WORDS})  # what they are encoded to tells them apart already
        yield from (part for key in keys for part in (key.encode(), *_parts(caption[key])))
    elif isinstance(caption, (list, tuple)):
        yield from (part for item in caption for part in _parts(item))
    elif isinstance(caption, (str, int, float, type(None))):
        yield repr(caption).encode()


def _check(examples: Sequence[Example]) -> None:
    if not examples:
        raise SCEditError("there is nothing to train on: no pictures came in; connect a list of latents")
    counts = sorted({len(example.hints) for example in examples})
    if len(counts) > 1:
        raise SCEditError(
            f"some pictures have {counts[0]} hints and some {counts[-1]}; give each the same number"
        )
    for number, example in enumerate(examples, start=1):
        if example.latent.ndim != 3 or not bool(torch.isfinite(example.latent).all()):
            raise SCEditError(
                f"latent {number} of {len(examples)} has shape {tuple(example.latent.shape)} or holds NaN; "
                "expected (channels, height, width) of finite numbers: encode its picture again"
            )
    channels = sorted({len(example.latent) for example in examples})
    if len(channels) > 1:
        raise SCEditError(
            f"some latents have {channels[0]} channels and some {channels[-1]}; encode all pictures with the "
            "same VAE"
        )
