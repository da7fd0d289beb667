"""Training examples and the order in which a run sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import SCEditError
from ...hint import PIXELS_PER_LATENT, cover


@dataclass(frozen=True, eq=False)
class Example:
    """One picture: its latent `(C, h, w)` at the model's scale, its caption, and a hint per control.

    A hint is `(V, 3, H, W)`, values 0..1: V drawings of the same picture, of which each visit takes one. A
    caption is whatever the base model takes. `no_caption` stands for it where it is dropped, if this picture
    needs another one than the rest.
    """

    latent: Tensor
    caption: Any
    hints: tuple[Tensor, ...] = ()
    no_caption: Any = None


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures seen together: latents `(B, C, h, w)`, captions, and hints `(B, 3, 8h, 8w)` per control."""

    latents: Tensor
    captions: tuple[Any, ...]
    hints: tuple[Tensor, ...]


def generator(seed: int, *place: object) -> torch.Generator:
    """Random numbers that depend on the seed and the place in the run alone, so that a run can be resumed."""
    digest = hashlib.sha256("/".join(map(str, (seed, *place))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class TrainingSet:
    """Examples in batches of one latent size, every example once per epoch in a new order.

    `no_caption` stands for the dropped caption of pictures that bring none of their own. With `buckets` off,
    latents of several sizes are refused.
    """

    def __init__(self, examples: Sequence[Example], no_caption: Any = None, *, buckets: bool = True) -> None:
        _check(examples, buckets)
        self.examples = tuple(examples)
        self.no_caption = no_caption
        sizes: dict[tuple[int, ...], list[int]] = {}
        for number, example in enumerate(self.examples):
            sizes.setdefault(tuple(example.latent.shape), []).append(number)
        self._buckets = tuple(torch.tensor(numbers) for numbers in sizes.values())

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def largest(self) -> tuple[int, ...]:
        """Shape `(C, h, w)` of the largest latent."""
        return max((tuple(example.latent.shape) for example in self.examples), key=lambda s: s[-1] * s[-2])

    def batches_per_epoch(self, size: int) -> int:
        """Number of batches in which all examples are seen once."""
        return sum(-(-len(bucket) // size) for bucket in self._buckets)

    def batch(self, number: int, size: int, seed: int, caption_dropout: float = 0.0) -> Batch:
        """Batch number 0, 1, ... of a run; a bucket's last batch of an epoch may be smaller than `size`."""
        epoch, place = divmod(number, self.batches_per_epoch(size))
        chosen = [self.examples[i] for i in self._order(epoch, size, seed)[place]]
        draw = generator(seed, "batch", number)
        drops = torch.rand(len(chosen), generator=draw) < caption_dropout
        captions = (
            self.without_caption(example) if drop else example.caption
            for example, drop in zip(chosen, drops, strict=True)
        )
        latents = torch.stack([example.latent for example in chosen])
        hints = zip(*(_drawn(example, draw) for example in chosen), strict=True)
        return Batch(latents, tuple(captions), tuple(torch.stack(control) for control in hints))

    def without_caption(self, example: Example) -> Any:
        """What stands for a picture's caption where it is dropped; None if there is nothing."""
        return self.no_caption if example.no_caption is None else example.no_caption

    def first(self) -> Batch:
        """The first picture alone, with the first drawing of each hint."""
        return alone(self.examples[0])

    def fingerprint(self) -> str:
        """Changes when the latents, the captions, the number of hints or points on their grid change."""
        digest = hashlib.sha256()
        for example in self.examples:
            for part in _parts(example.caption):
                digest.update(part)
            digest.update(repr([tuple(t.shape) for t in (example.latent, *example.hints)]).encode())
            for tensor in (example.latent, *(hint[..., ::31, ::31] for hint in example.hints)):
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _order(self, epoch: int, size: int, seed: int) -> list[list[int]]:
        draw = generator(seed, "epoch", epoch)
        batches = []
        for bucket in self._buckets:
            shuffled = bucket[torch.randperm(len(bucket), generator=draw)].tolist()
            batches += [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]


def alone(example: Example) -> Batch:
    """A picture alone, with the first drawing of each hint."""
    hints = tuple(_fitted(hint[:1], example.latent) for hint in example.hints)
    return Batch(example.latent[None], (example.caption,), hints)


def _parts(caption: Any) -> Iterator[bytes]:
    """What tells one caption from another: its texts, numbers and tensors, however nested."""
    if isinstance(caption, Tensor):
        yield caption.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    elif isinstance(caption, dict):
        yield from (part for key in sorted(caption) for part in (key.encode(), *_parts(caption[key])))
    elif isinstance(caption, (list, tuple)):
        yield from (part for item in caption for part in _parts(item))
    elif isinstance(caption, (str, int, float, type(None))):
        yield repr(caption).encode()


def _drawn(example: Example, draw: torch.Generator) -> list[Tensor]:
    """One drawing of each hint, at eight times the latent's size."""
    numbers = [int(torch.randint(len(hint), (), generator=draw)) for hint in example.hints]
    return [_fitted(h[n : n + 1], example.latent)[0] for h, n in zip(example.hints, numbers, strict=True)]


def _fitted(hint: Tensor, latent: Tensor) -> Tensor:
    height, width = (PIXELS_PER_LATENT * side for side in latent.shape[-2:])
    return cover(hint, height, width)


def _check(examples: Sequence[Example], buckets: bool) -> None:
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
    sizes = sorted({tuple(example.latent.shape[-2:]) for example in examples})
    if len(sizes) > 1 and not buckets:
        shown = ", ".join(f"{PIXELS_PER_LATENT * w} x {PIXELS_PER_LATENT * h}" for h, w in sizes[:4])
        raise SCEditError(
            f"the pictures have {len(sizes)} different sizes ({shown}{', ...' if len(sizes) > 4 else ''}) "
            "and buckets are off; switch buckets on, or crop the pictures to one size"
        )
