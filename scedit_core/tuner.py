"""SC-Tuner: a residual adapter on a skip connection (arXiv 2312.11392, Eq. 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .spec import TunerOp, TunerSpec

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LayerOptions(TypedDict, total=False):
    """Who makes layers (torch.nn, or a host's casting ones), where and in what: a host's business."""

    operations: Any
    device: torch.device | None
    dtype: torch.dtype | None


def linear(
    before: int,
    after: int,
    *,
    has_bias: bool = True,
    operations: Any = nn,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """A linear layer over the channels of `(..., C)`."""
    return operations.Linear(before, after, bias=has_bias, device=device, dtype=dtype)


def conv(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    operations: Any = nn,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Conv2d:
    """A convolution of `(B, C, H, W)` with an odd kernel that keeps the size, but for its stride."""
    return operations.Conv2d(
        before, after, kernel, stride=stride, padding=kernel // 2, device=device, dtype=dtype
    )


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

    A fresh tuner changes nothing: `up` starts at zero.
    """

    def __init__(self, channels: int, rank: int, **layers: Unpack[LayerOptions]) -> None:
        super().__init__()
        self.down = self._layer(channels, rank, layers)
        self.up = self._layer(rank, channels, layers)
        start_at_zero(self.up)

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return linear(before, after, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        x = x.movedim(1, -1)  # (B, H, W, C)
        # GELU with erf, not its tanh approximation: published weights were trained with it
        return self.up(F.gelu(self.down(x))).movedim(-1, 1)


class ConvSCTuner(SCTuner):
    """The adapter with 3x3 convs in place of the linear layers (paper, Table 5 at rank C/8)."""

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return conv(before, after, 3, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        return self.up(F.gelu(self.down(x)))


class LoRASCTuner(SCTuner):
    """LoRA's form of a tuner: `T(x) = up(down(x))`, without bias or activation (LoRA OP, Section 3.2)."""

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return linear(before, after, has_bias=False, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        return self.up(self.down(x.movedim(1, -1))).movedim(-1, 1)


class MLPSCTuner(SCTuner):
    """The adapter with a third linear layer between its two (scedit-pytorch's SCTunerLinearLayer2)."""

    def __init__(self, channels: int, rank: int, **layers: Unpack[LayerOptions]) -> None:
        super().__init__(channels, rank, **layers)
        self.mid = self._layer(rank, rank, layers)

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


def make_tuners(spec: TunerSpec, blocks: Iterable[int], **layers: Unpack[LayerOptions]) -> nn.ModuleDict:
    """One tuner per block, of the spec's op, keyed by the block's number."""
    make = _TUNER_OF_OP[spec.op]
    return nn.ModuleDict(
        {str(block): make(spec.channels[block], spec.ranks[block], **layers) for block in sorted(blocks)}
    )


class SCTunerSet(nn.Module):
    """The SC-Tuners of one file: one tuner or none per output block.

    Those of place "encoder" edit what input blocks pass on, to the next block and to their skip:
    `resnet_tuners` were trained on the output of a resnet, `input_tuners` on that of a whole input block,
    which is the same where no attention follows the resnet.
    """

    kind: Literal["sc"] = "sc"

    def __init__(self, spec: TunerSpec, **layers: Unpack[LayerOptions]) -> None:
        super().__init__()
        self.spec = spec
        if spec.place == "skip":
            self.tuners = make_tuners(spec, spec.channels, **layers)
        else:
            self.input_tuners = make_tuners(spec, spec.channels.keys() - spec.after_resnet, **layers)
            self.resnet_tuners = make_tuners(spec, spec.after_resnet, **layers)

    def delta(self, block: int, x: Tensor) -> Tensor:
        """What this set adds to a tuned block's `(B, C, H, W)`, before strength (Eq. 5)."""
        if self.spec.place == "skip":
            tuners = self.tuners
        else:
            tuners = self.resnet_tuners if block in self.spec.after_resnet else self.input_tuners
        return tuners[str(block)](x)
