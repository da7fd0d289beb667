"""SC-Tuner: a residual adapter on a skip connection (arXiv 2312.11392, Eq. 5 and 6)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spec import TunerSpec


class SCTuner(nn.Module):
    """Tuner OP of one skip: `T(x) = up(GELU(down(x)))` on every pixel (paper, Eq. 6).

    A fresh tuner changes nothing: `up` starts at zero. `operations` makes the layers (torch.nn, or a host's
    casting layers), so that device and dtype stay the host's business.
    """

    def __init__(
        self,
        channels: int,
        rank: int,
        *,
        operations: Any = nn,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.down = operations.Linear(channels, rank, device=device, dtype=dtype)
        self.up = operations.Linear(rank, channels, device=device, dtype=dtype)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        x = x.movedim(1, -1)  # (B, H, W, C)
        # GELU with erf, not its tanh approximation: published weights were trained with it
        return self.up(F.gelu(self.down(x))).movedim(-1, 1)


def make_tuners(
    spec: TunerSpec, *, operations: Any, device: torch.device | None, dtype: torch.dtype | None
) -> nn.ModuleDict:
    """One SCTuner per tuned block, keyed by the block's number."""
    return nn.ModuleDict(
        {
            str(block): SCTuner(
                spec.channels[block], spec.ranks[block], operations=operations, device=device, dtype=dtype
            )
            for block in sorted(spec.channels)
        }
    )


class SCTunerSet(nn.Module):
    """The SC-Tuners of one file: one tuner or none per output block."""

    def __init__(
        self,
        spec: TunerSpec,
        *,
        operations: Any = nn,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.tuners = make_tuners(spec, operations=operations, device=device, dtype=dtype)

    def delta(self, block: int, skip: Tensor) -> Tensor:
        """What this set adds to the skip `(B, C, H, W)` of a tuned block, before strength (Eq. 5)."""
        return self.tuners[str(block)](skip)
