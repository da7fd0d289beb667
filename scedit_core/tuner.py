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


def channels_mixed(x: Tensor, weight: Tensor, bias: Tensor | None, plus: Tensor | None) -> Tensor:
    """`W x + b` on the channels of every pixel of `(B, C, H, W)`, or `W x + plus`, which is like the result.

    The channels stay where they are: moving them last and back, as a linear layer asks for, takes a skip of
    64 x 64 half as long again.
    """
    if weight.requires_grad and torch.is_grad_enabled():
        # in training one matrix for all rows of the batch: backward would make a gradient of each
        mixed = F.linear(x.movedim(1, -1), weight, None if plus is not None else bias).movedim(-1, 1)
        return mixed if plus is None else mixed + plus
    pixels = x.flatten(2)
    each = weight.expand(len(x), -1, -1)
    added = plus.flatten(2) if plus is not None else None if bias is None else bias[:, None]
    mixed = torch.bmm(each, pixels) if added is None else torch.baddbmm(added, each, pixels)
    return mixed.unflatten(2, x.shape[2:])


def activated(inner: Tensor) -> Tensor:
    """GELU with erf, with which published weights were trained, not its tanh approximation.

    In the place of `inner` where nothing is recorded for backward: new memory is what costs on large skips.
    """
    return F.gelu(inner) if torch.is_grad_enabled() else torch.ops.aten.gelu_(inner)


class Layers:
    """Layers of tuners: PyTorch's, but that a linear one works on channels of `(B, C, H, W)`."""

    class Linear(nn.Linear):
        """A linear layer over channels."""

        def forward(self, input: Tensor, plus: Tensor | None = None) -> Tensor:
            """`W x + b`, or `W x + plus`; see `channels_mixed`."""
            return channels_mixed(input, self.weight, self.bias, plus)

    Conv2d = nn.Conv2d


class Unset:
    """The same layers, their weights not set when they are made, because a file brings them at once."""

    class Linear(Layers.Linear):
        """A linear layer over channels."""

        def reset_parameters(self) -> None:
            """Leave the weights as they are."""

    class Conv2d(nn.Conv2d):
        """A convolution."""

        def reset_parameters(self) -> None:
            """Leave the weights as they are."""


class LayerOptions(TypedDict, total=False):
    """Who makes layers (`Layers`, or a host's casting ones like them), where and in what dtype."""

    operations: Any
    device: torch.device | None
    dtype: torch.dtype | None


def linear(
    before: int,
    after: int,
    *,
    has_bias: bool = True,
    operations: Any = Layers,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Linear:
    """A linear layer over the channels of `(B, C, H, W)`."""
    return operations.Linear(before, after, bias=has_bias, device=device, dtype=dtype)


def conv(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    operations: Any = Layers,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Conv2d:
    """A convolution of `(B, C, H, W)` with an odd kernel that keeps the size, but for its stride."""
    return operations.Conv2d(
        before, after, kernel, stride=stride, padding=kernel // 2, device=device, dtype=dtype
    )


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
        self.folded_channels = self._folded_channels(channels, rank)
        self.down = self._layer(channels, rank, layers)
        self.up = self._layer(rank, channels, layers)
        start_at_zero(self.up)

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return linear(before, after, **layers)

    def _folded_channels(self, channels: int, rank: int) -> int:
        return rank + channels

    def forward(self, x: Tensor) -> Tensor:
        """Delta for one skip `(B, C, H, W)`, before strength; same shape, device and dtype."""
        return self.up(self._between(self.down(x)))

    def folded(self, hint: Tensor) -> Tensor:
        """What a hint feature `(N, C, H, W)` comes to at both ends, `(N, r + C, H, W)`, for `steered`.

        No step changes it: `down(x + hint) = W x + down(hint)`, and `hint + b` is what `up` begins with.
        """
        low = self.down(hint)
        bias = self.up(low.new_zeros(1, low.shape[1], 1, 1))
        return torch.cat([low, hint + bias], dim=1)

    def steered(self, x: Tensor, folded: Tensor) -> Tensor:
        """`hint + T(x + hint)` for one skip `(B, C, H, W)` and a hint that was `folded` (Eq. 7)."""
        width = x.shape[1]
        low, high = folded.split((folded.shape[1] - width, width), dim=1)
        return self.up(self._between(self.down(x, low)), high)

    def _between(self, inner: Tensor) -> Tensor:
        return activated(inner)


class ConvSCTuner(SCTuner):
    """The adapter with 3x3 convs in place of the linear layers (paper, Table 5 at rank C/8)."""

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return conv(before, after, 3, **layers)

    def _folded_channels(self, channels: int, rank: int) -> int:
        return channels

    def folded(self, hint: Tensor) -> Tensor:
        """The hint feature as it is: that of a conv would be another at another size."""
        return hint

    def steered(self, x: Tensor, folded: Tensor) -> Tensor:
        """`hint + T(x + hint)` for one skip `(B, C, H, W)` (Eq. 7)."""
        return folded + self(x + folded)


class LoRASCTuner(SCTuner):
    """LoRA's form of a tuner: `T(x) = up(down(x))`, without bias or activation (LoRA OP, Section 3.2)."""

    def _layer(self, before: int, after: int, layers: LayerOptions) -> nn.Module:
        return linear(before, after, has_bias=False, **layers)

    def _between(self, inner: Tensor) -> Tensor:
        return inner


class MLPSCTuner(SCTuner):
    """The adapter with a third linear layer between its two (scedit-pytorch's SCTunerLinearLayer2)."""

    def __init__(self, channels: int, rank: int, **layers: Unpack[LayerOptions]) -> None:
        super().__init__(channels, rank, **layers)
        self.mid = self._layer(rank, rank, layers)

    def _between(self, inner: Tensor) -> Tensor:
        return activated(self.mid(activated(inner)))


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


def tuners_in(tuners: nn.Module) -> dict[str, nn.ModuleDict]:
    """The tuners of a set by the names of its parts: all of it but a hint encoder."""
    return {name: part for name, part in tuners.named_children() if isinstance(part, nn.ModuleDict)}


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
