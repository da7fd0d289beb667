"""Training examples, and the batches in which a run sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import SCEditError
from ...hint import PIXELS_PER_LATENT, cover
from .listed import ListedExamples
from .order import Order, generator

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Example:
    """One picture: its latent `(C, h, w)` at the model's scale, its caption, and a hint per control.

    A hint is `(V, 3, H, W)`, values 0..1, or uint8 0..255: V drawings of the same picture, of which each
    visit takes one. A caption is whatever the base model takes, or what its examples make that of.
    `no_caption` stands for it where it is dropped, if this picture needs another one than the rest.
    """

    latent: Tensor
    caption: Any
    hints: tuple[Tensor, ...] = ()
    no_caption: Any = None


class Examples(Protocol):
    """Where a TrainingSet reads from: a list, or a store of which only what is in use is in memory."""

    @property
    def channels(self) -> int:
        """Channels of all latents."""
        ...

    @property
    def shapes(self) -> np.ndarray:
        """Heights and widths of the latents, `(N, 2)`, known without reading them."""
        ...

    @property
    def hints(self) -> int:
        """Hints that each example brings."""
        ...

    @property
    def threads(self) -> int:
        """How many threads had best read at once, ahead of the training; 0 where nothing has to be read."""
        ...

    def __len__(self) -> int: ...

    def read(self, number: int) -> Example:
        """Example 0, 1, ..., in any thread. SCEditError if it is damaged."""
        ...

    def encoded(self, captions: Sequence[Any]) -> Sequence[Any]:
        """What the base model takes for captions of examples; in the thread that trains."""
        ...

    def fingerprint(self) -> str:
        """Changes when the examples do."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures seen together: latents `(B, C, h, w)`, captions, and hints `(B, 3, 8h, 8w)` per control.

    `places` are those of the pictures in the whole batch, of which these are the share `share`: all of it,
    unless several processes divide it among themselves.
    """

    latents: Tensor
    captions: tuple[Any, ...]
    hints: tuple[Tensor, ...]
    places: tuple[int, ...] = ()
    share: float = 1.0


class TrainingSet:
    """Examples in batches of one latent size, every example once per epoch in a new order.

    `no_caption` stands for the dropped caption of pictures that bring none of their own. With `buckets` off,
    latents of several sizes are refused.
    """

    def __init__(
        self, examples: Sequence[Example] | Examples, no_caption: Any = None, *, buckets: bool = True
    ) -> None:
        self.examples = ListedExamples(examples) if isinstance(examples, Sequence) else examples
        self.no_caption = no_caption
        self._order = Order(self.examples.shapes)
        _check(self._order.sizes, buckets)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def largest(self) -> tuple[int, ...]:
        """Shape `(C, h, w)` of the largest latent."""
        return (self.examples.channels, *max(self._order.sizes, key=lambda size: size[0] * size[1]))

    def batches_per_epoch(self, size: int) -> int:
        """Number of batches in which all examples are seen once."""
        return self._order.batches_per_epoch(size)

    def batch(
        self, number: int, size: int, seed: int, caption_dropout: float = 0.0, rows: slice = _ALL
    ) -> Batch:
        """Batch number 0, 1, ... of a run; a bucket's last batch of an epoch may be smaller than `size`.

        Of `rows`, which may be none, only these are read. What is drawn for a picture depends on seed, number
        and place alone, not on which others are read.
        """
        return self.encoded(self.read(number, size, seed, caption_dropout, rows))

    def read(
        self, number: int, size: int, seed: int, caption_dropout: float = 0.0, rows: slice = _ALL
    ) -> Batch:
        """A batch whose captions are not yet what the base model takes; any thread may read it."""
        numbers = self._order.batch(number, size, seed)
        places = tuple(range(len(numbers))[rows])
        drawn = [
            self._drawn(numbers[place], generator(seed, "sample", number, place), caption_dropout)
            for place in places
        ]
        if not drawn:
            return Batch(torch.zeros(0, *self.largest), (), (), share=0.0)
        latents, captions, hints = zip(*drawn, strict=True)
        controls = tuple(_stacked(control) for control in zip(*hints, strict=True))
        return Batch(torch.stack(latents), captions, controls, places, len(places) / len(numbers))

    def encoded(self, batch: Batch) -> Batch:
        """The batch with captions that the base model takes."""
        return replace(batch, captions=tuple(self.examples.encoded(batch.captions)))

    def without_caption(self, number: int) -> Any:
        """What the base model takes for a dropped caption of example 0, 1, ...; None if there is nothing."""
        dropped = self._dropped(self.examples.read(number))
        return None if dropped is None else self.examples.encoded([dropped])[0]

    def first(self) -> Batch:
        """The first picture alone, with the first drawing of each hint."""
        return self.alone(0)

    def alone(self, number: int) -> Batch:
        """Picture 0, 1, ... alone, with the first drawing of each hint."""
        return self.encoded(self.read_alone(number))

    def read_alone(self, number: int) -> Batch:
        """The same with a caption that is not yet what the base model takes."""
        example = self.examples.read(number)
        hints = tuple(_fitted(hint[:1], example.latent) for hint in example.hints)
        return Batch(example.latent[None], (example.caption,), hints, (0,))

    def fingerprint(self) -> str:
        """Changes when the examples do."""
        return self.examples.fingerprint()

    def _dropped(self, example: Example) -> Any:
        return self.no_caption if example.no_caption is None else example.no_caption

    def _drawn(
        self, number: int, draw: torch.Generator, caption_dropout: float
    ) -> tuple[Tensor, Any, list[Tensor]]:
        """Latent, caption and one drawing of each hint of an example, as this visit sees it."""
        example = self.examples.read(number)
        is_dropped = float(torch.rand((), generator=draw)) < caption_dropout
        numbers = [int(torch.randint(len(hint), (), generator=draw)) for hint in example.hints]
        drawings = [
            _fitted(hint[n : n + 1], example.latent)[0]
            for hint, n in zip(example.hints, numbers, strict=True)
        ]
        return example.latent, self._dropped(example) if is_dropped else example.caption, drawings


def _fitted(hint: Tensor, latent: Tensor) -> Tensor:
    """Drawings at eight times the latent's size; those that have it already as they are."""
    height, width = (PIXELS_PER_LATENT * side for side in latent.shape[-2:])
    return hint if hint.shape[-2:] == (height, width) else cover(unit(hint), height, width)


def _stacked(drawings: Sequence[Tensor]) -> Tensor:
    """Drawings `(3, H, W)` as one tensor; in floats, if only some had to be scaled."""
    mixed = len({drawing.dtype for drawing in drawings}) > 1
    return torch.stack([unit(drawing) for drawing in drawings] if mixed else list(drawings))


def unit(hint: Tensor) -> Tensor:
    """A hint in values 0..1, float32."""
    return hint.float() / 255 if hint.dtype == torch.uint8 else hint.float()


def _check(sizes: Sequence[tuple[int, int]], buckets: bool) -> None:
    if len(sizes) > 1 and not buckets:
        ordered = sorted(sizes)
        shown = ", ".join(f"{PIXELS_PER_LATENT * w} x {PIXELS_PER_LATENT * h}" for h, w in ordered[:4])
        raise SCEditError(
            f"the pictures have {len(sizes)} different sizes ({shown}{', ...' if len(sizes) > 4 else ''}) "
            "and buckets are off; switch buckets on, or crop the pictures to one size"
        )
