"""Examples of a data set on disk: read when they are needed, captions encoded batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import SCEditError
from .examples import Example

if TYPE_CHECKING:
    from .shards import StoredDataset

# A PNG of 512 x 512 takes a thread 5 to 10 ms, and a step on a card some 60.
_THREADS = 4


@dataclass(frozen=True)
class Told:
    """A caption before it is encoded: its text, and the sizes that SDXL is told, by their names."""

    text: str
    sizes: tuple[tuple[str, int], ...]


class StoredExamples:
    """A StoredDataset as what a TrainingSet learns from; in memory is what is being read.

    `scaled` brings a latent `(1, C, h, w)` of the VAE to the model's scale, in any thread. `encode` makes of
    captions what the base model takes, in the thread that trains. Without `has_hints` the hints of the set
    are left out, for a style.
    """

    threads = _THREADS

    def __init__(
        self,
        stored: StoredDataset,
        scaled: Callable[[Tensor], Tensor],
        encode: Callable[[Sequence[Told]], Sequence[Any]],
        *,
        has_hints: bool = True,
    ) -> None:
        if not len(stored):
            raise SCEditError("the data set holds no pictures; put some into its folder and prepare it again")
        self._stored = stored
        self._scaled = scaled
        self._encode = encode
        self.hints = len(stored.hints) if has_hints else 0
        self.channels = stored.latent_channels
        self.shapes = stored.shapes

    def __len__(self) -> int:
        return len(self._stored)

    def read(self, number: int) -> Example:
        """Example 0, 1, ..., in any thread. SCEditError names a damaged shard."""
        found = self._stored.read(number)
        # node bodies run in inference mode, and what is made there cannot be differentiated
        with torch.inference_mode(False):
            latent = self._scaled(found.latent[None].float())[0]
        hints, sizes = found.hints[: self.hints], tuple(found.sizes.items())
        return Example(latent, Told(found.caption, sizes), hints, Told("", sizes))

    def encoded(self, captions: Sequence[Told]) -> Sequence[Any]:
        """What the base model takes for captions of a batch; in the thread that trains."""
        return self._encode(captions)

    def fingerprint(self) -> str:
        """Changes when the data set does; nothing is read for it but its list of shards."""
        return self._stored.fingerprint()


def check_dataset(stored: StoredDataset, wanted: Mapping[str, int | str]) -> None:
    """SCEditError if what a training needs differs from what a data set was prepared with.

    `wanted` has those of `latent_channels`, `resolution` and `vae` that are known.
    """
    words = {
        "latent_channels": "latents of {} channels, but this model learns from {}; prepare the pictures with "
        "the VAE of the model",
        "resolution": "pictures of {0} x {0} pixels, but {1} x {1} are asked for; prepare them again at that "
        "resolution, or train at that of the data set",
        "vae": "latents of another VAE ({:.12}) than that of the model ({:.12}); prepare the pictures with "
        "the VAE of the model",
    }
    for what, value in wanted.items():
        had = getattr(stored, what)
        if had != value:
            raise SCEditError(f"the data set '{stored.folder.name}' holds {words[what].format(had, value)}")
