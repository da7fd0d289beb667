"""SC-Tuner: a residual adapter on a skip connection (arXiv 2312.11392, Eq. 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spec import TunerOp, TunerSpec


class Unset:
    """Layers of torch whose weights are not set when they are made, because a file brings them at once."""

    class Linear(nn.Linear):
        """A linear layer."""

        def reset_parameters(self) -> None:
            """Leave the weights as they are."""

    class Conv2d(nn.Conv2d):
        """A convolution."""

        def reset_parameters(self) -> None:
            """Leave the weights as they are."""


def start_at_zero(layer: nn.Module) -> None:
    """Zeros for the weights of a layer, unless a file brings them: on "meta" there is nothing to set."""
    for weights in layer.parameters():
        if not weights.is_meta:
            nn.init.zeros_(weights)


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
        layer = partial(self._layer(operations), device=device, dtype=dtype)
        self.down = layer(channels, rank)
        self.up = layer(rank, channels)
        start_at_zero(self.up)

    def _layer(self, operations: Any) -> Callable[..., nn.Module]:
        """What makes a layer of given channels in and out."""
        return operations.Linear

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        x = x.movedim(1, -1)  # (B, H, W, C)
        # GELU with erf, not its tanh approximation: published weights were trained with it
        return self.up(F.gelu(self.down(x))).movedim(-1, 1)


class ConvSCTuner(SCTuner):
    """The adapter with 3x3 convs in place of the linear layers (paper, Table 5 at rank C/8)."""

    def _layer(self, operations: Any) -> Callable[..., nn.Module]:
        return partial(operations.Conv2d, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        return self.up(F.gelu(self.down(x)))


class LoRASCTuner(SCTuner):
    """LoRA's form of a tuner: `T(x) = up(down(x))`, without bias or activation (LoRA OP, Section 3.2)."""

    def _layer(self, operations: Any) -> Callable[..., nn.Module]:
        return partial(operations.Linear, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        return self.up(self.down(x.movedim(1, -1))).movedim(-1, 1)


class MLPSCTuner(SCTuner):
    """The adapter with a third linear layer between its two (scedit-pytorch's SCTunerLinearLayer2)."""

    def __init__(
        self,
        channels: int,
        rank: int,
        *,
        operations: Any = nn,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(channels, rank, operations=operations, device=device, dtype=dtype)
        self.mid = operations.Linear(rank, rank, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        x = x.movedim(1, -1)  # (B, H, W, C)
        return self.up(F.gelu(self.mid(F.gelu(self.down(x))))).movedim(-1, 1)


_TUNER_OF_OP: dict[TunerOp, type[SCTuner]] = {
    "adapter": SCTuner,
    "conv": ConvSCTuner,
    "lora": LoRASCTuner,
    "mlp": MLPSCTuner,
}


def make_tuners(
    spec: TunerSpec,
    blocks: Iterable[int],
    *,
    operations: Any,
    device: torch.device | None,
    dtype: torch.dtype | None,
) -> nn.ModuleDict:
    """One tuner per block, of the spec's op, keyed by the block's number."""
    kind = _TUNER_OF_OP[spec.op]
    return nn.ModuleDict(
        {
            str(block): kind(
                spec.channels[block], spec.ranks[block], operations=operations, device=device, dtype=dtype
            )
            for block in sorted(blocks)
        }
    )


class SCTunerSet(nn.Module):
    """The SC-Tuners of one file: one tuner or none per output block.

    Those of place "encoder" edit what input blocks pass on, to the next block and to their skip:
    `resnet_tuners` were trained on the output of a resnet, `input_tuners` on that of a whole input block,
    which is the same where no attention follows the resnet.
    """

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
        made = partial(make_tuners, spec, operations=operations, device=device, dtype=dtype)
        if spec.place == "skip":
            self.tuners = made(spec.channels)
        else:
            self.input_tuners = made(spec.channels.keys() - spec.after_resnet)
            self.resnet_tuners = made(spec.after_resnet)

    def delta(self, block: int, x: Tensor) -> Tensor:
        """What this set adds to a tuned block's `(B, C, H, W)`, before strength (Eq. 5)."""
        if self.spec.place == "skip":
            tuners = self.tuners
        else:
            tuners = self.resnet_tuners if block in self.spec.after_resnet else self.input_tuners
        return tuners[str(block)](x)
