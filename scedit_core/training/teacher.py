"""A teacher: another model, whose pictures of the noised latents a tuner learns to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .config import check_range
from .dataset.examples import Batch
from .sketch import Sketch, sketch


class Teacher(Protocol):
    """A model that is not trained; its host does all conversions.

    It gets the captions and the hints of the same batch as the student, and has to make of each picture the
    same whichever others are in the batch.
    """

    def denoised(self, noisy: Tensor, sigma: Tensor, batch: Batch) -> Tensor:
        """Its picture `(B, C, h, w)`, float32, of a batch's latents with noise of levels `(B,)`."""
        ...

    def memory(self, shape: tuple[int, int, int, int]) -> int:
        """Bytes that a call works in for latents of this shape, beside its weights."""
        ...

    def sketches(self) -> Mapping[str, Sketch]:
        """What its pictures depend on, as those of a BaseModel."""
        ...


@dataclass(frozen=True, eq=False)
class Teaching:
    """A teacher, and by which share of 0..1 its picture takes the place of the true one.

    A mix of pictures is the same mix of network outputs, as both are of the same noised latent.
    """

    teacher: Teacher
    share: float = 1.0

    def __post_init__(self) -> None:
        check_range("share", self.share, (0.0, 1.0))

    def target(self, latents: Tensor, noisy: Tensor, sigma: Tensor, batch: Batch) -> Tensor:
        """What the student is to make of `noisy`, `(B, C, h, w)`; without a share, the latents themselves."""
        if not self.share:
            return latents
        with torch.no_grad():
            return latents.lerp(self.teacher.denoised(noisy, sigma, batch), self.share)

    def sketches(self) -> dict[str, Sketch]:
        """What a training state remembers of it."""
        theirs = {f"teacher.{what}": one for what, one in self.teacher.sketches().items()}
        return theirs | {"teacher.share": sketch(self.share)}
