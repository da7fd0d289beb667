"""What the strength of an edit is multiplied by: over noise levels, for latents, prompts and blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .curve import Curve


class Rows(NamedTuple):
    """What the rows of a batch are: the number of each latent, of how many, and whose prompt it goes with.

    `prompts[b]` is 0 for the prompt and 1 for the negative one.
    """

    latents: Sequence[int]
    total: int
    prompts: Sequence[int]

    @property
    def is_part(self) -> bool:
        """True if other latents of the same batch are computed at another time, as with context windows."""
        return len(set(self.latents)) < self.total


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of a strength, which are multiplied with each other; all 1 unless they are given.

    `levels` go over noise levels (sigma), `latents` over the number of a latent in its batch, `batch` over
    its part of the batch (the first latent 0, the last 1). `blocks` are for output blocks, those that are
    not named have 1. `prompts` are for the prompt and the negative one.
    """

    levels: Sequence[Curve] = ()
    latents: Sequence[Curve] = ()
    batch: Sequence[Curve] = ()
    blocks: Mapping[int, float] = field(default_factory=dict)
    prompts: tuple[float, float] = (1.0, 1.0)

    @property
    def is_given(self) -> bool:
        """True if there is any that may differ from 1."""
        return bool(self.levels or self.latents or self.batch or self.blocks) or self.prompts != (1, 1)

    @property
    def is_by_row(self) -> bool:
        """True if rows of one batch may have different factors."""
        return bool(self.latents or self.batch) or self.prompts[0] != self.prompts[1]

    @property
    def is_zero(self) -> bool:
        """True if nothing is left anywhere."""
        curves = (*self.levels, *self.latents, *self.batch)
        return any(curve.is_zero for curve in curves) or self.prompts == (0, 0)

    def at(self, sigma: float) -> float:
        """The factor at a noise level."""
        return math.prod(curve.at(sigma) for curve in self.levels)

    def of_rows(self, rows: Rows) -> Iterator[float]:
        """The factor of each row of a batch."""
        last = max(1, rows.total - 1)
        for latent, prompt in zip(rows.latents, rows.prompts, strict=True):
            by_latent = math.prod(curve.at(latent) for curve in self.latents)
            by_part = math.prod(curve.at(latent / last) for curve in self.batch)
            yield by_latent * by_part * self.prompts[prompt]
