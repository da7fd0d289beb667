"""CSC-Tuner: skip tuners that see a condition image (arXiv 2312.11392, Eq. 7 and Fig. 4c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from .errors import SCEditError
from .spec import STEM_STRIDES, HintSpec, TunerSpec
from .tuner import LayerOptions, SCTuner, conv, make_tuners, start_at_zero

if TYPE_CHECKING:
    from typing_extensions import Unpack


class HintEncoder(nn.Module):
    """Hint image to one feature per output block (paper, Fig. 4c).

    `pre` are seven 3x3 convs with SiLU between them, which start so that a hint passes them undiminished;
    `dense` holds, for each block that has one, a zero-initialised k x k conv fed by the SiLU of the next
    shallower block's feature.
    """

    def __init__(self, spec: HintSpec, **layers: Unpack[LayerOptions]) -> None:
        super().__init__()
        self.features = spec.features
        widths = zip(spec.stem[:-1], spec.stem[1:], STEM_STRIDES, strict=True)
        stem = [conv(before, after, 3, stride=stride, **layers) for before, after, stride in widths]
        for layer in stem:
            _start_passing(layer)
        self.pre = nn.ModuleList(stem)
        self.dense = nn.ModuleDict()
        before = spec.stem[-1]
        for block in sorted(spec.dense, reverse=True):
            self.dense[str(block)] = _dense(spec, block, before, layers)
            before = spec.features[block]

    def forward(self, hint: Tensor) -> tuple[Tensor, ...]:
        """Features `(N, C_i, H_i, W_i)` of all output blocks, from hints `(N, 3, 8h, 8w)`, RGB, 0..1.

        They depend on the hint alone: not on the timestep, the noise or the prompt.
        """
        x = self.pre[0](hint)
        for layer in self.pre[1:]:
            x = layer(F.silu(x))
        features = []
        for block in reversed(range(len(self.features))):
            if str(block) in self.dense:
                x = self.dense[str(block)](F.silu(x))
            features.append(x)
        return tuple(reversed(features))


class DualConv(nn.Module):
    """A dense hint block of two convs: 3x3 to a narrow width, SiLU, 1x1 back (Dual Conv, Table 6)."""

    def __init__(
        self, before: int, narrow: int, after: int, *, stride: int, **layers: Unpack[LayerOptions]
    ) -> None:
        super().__init__()
        self.down = conv(before, narrow, 3, stride=stride, **layers)
        self.up = conv(narrow, after, 1, **layers)
        start_at_zero(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """Feature `(N, C_i, H_i, W_i)` from the activated shallower one."""
        return self.up(F.silu(self.down(x)))


def _dense(spec: HintSpec, block: int, before: int, layers: LayerOptions) -> nn.Module:
    """What makes the feature of this block from the shallower one, which is `before` channels wide."""
    after, stride = spec.features[block], spec.strides[block]
    if spec.bottlenecks is not None:
        return DualConv(before, spec.bottlenecks[block], after, stride=stride, **layers)
    layer = conv(before, after, spec.kernel, stride=stride, **layers)
    start_at_zero(layer)
    return layer


def _start_passing(layer: nn.Conv2d) -> None:
    """Weights after which SiLU leaves the variance as it was, as He et al. 2015 (section 2.2) do for ReLU.

    With PyTorch's own start each conv takes seven eighths of it: seven leave next to nothing, and training
    spends thousands of steps on bringing the hint back.
    """
    if (
        layer.weight.is_meta
    ):  # a file brings the weights; drawing them here takes PyTorch two seconds at first
        return
    kept = 0.3557  # mean square of SiLU of a normal variable
    nn.init.normal_(layer.weight, std=(kept * layer.weight[0].numel()) ** -0.5)


class CSCTunerSet(nn.Module):
    """The tuners and the hint encoder of one controller file."""

    kind: Literal["csc"] = "csc"

    def __init__(self, spec: TunerSpec, **layers: Unpack[LayerOptions]) -> None:
        super().__init__()
        if spec.hint is None:
            raise SCEditError("a CSC-Tuner needs the sizes of its hint encoder, but the spec has none")
        self.spec = spec
        self.tuners = make_tuners(spec, spec.channels, **layers)
        self.hint_encoder = HintEncoder(spec.hint, **layers)

    def delta(self, block: int, skip: Tensor, hint: Tensor) -> Tensor:
        """`hint + T(skip + hint)` for a tuned block, before strength (Eq. 7); `hint` broadcasts."""
        return hint + self.tuners[str(block)](skip + hint)

    def folded(self, features: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The hint features of all blocks, each as `steered` takes it; None for a block without a tuner."""
        return tuple(
            self._tuner(block).folded(feature) if block in self.spec.channels else None
            for block, feature in enumerate(features)
        )

    def steered(self, block: int, skip: Tensor, folded: Tensor) -> Tensor:
        """What `delta` gives, by what a hint was folded to: two matrices and one activation on the skip."""
        return self._tuner(block).steered(skip, folded)

    def numbers_of_hint(self, height: int, width: int) -> int:
        """How many numbers the folded features of one hint are, for a latent of height x width."""
        hint, total = self.spec.hint, 0
        for block in reversed(range(len(hint.features) if hint else 0)):
            stride = hint.strides[block] if hint else 1
            height, width = -(-height // stride), -(-width // stride)
            if block in self.spec.channels:
                total += self._tuner(block).folded_channels * height * width
        return total

    def _tuner(self, block: int) -> SCTuner:
        return cast("SCTuner", self.tuners[str(block)])
