"""What a tuner is made of: kind and sizes, decided once when a file is read or a training starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import SCEditError
from .unet import SkipLayout, family_name

# Widths between the seven convs that bring an RGB hint to latent size (paper, Fig. 4c), before their ratio.
_STEM_WIDTHS = (16, 16, 32, 32, 96, 96)


@dataclass(frozen=True)
class StemSize:
    """Ratio of the inner widths of a hint encoder's stem, and the width it ends with."""

    ratio: float
    out: int

    @property
    def widths(self) -> tuple[int, ...]:
        """The eight widths along the seven convs, RGB hint first."""
        return (3, *(int(width * self.ratio) for width in _STEM_WIDTHS), self.out)


# Stems of the controllers published for SD 2.1 and for SDXL.
SD_STEM = StemSize(1.0, 256)
SDXL_STEM = StemSize(2.0, 320)


@dataclass(frozen=True)
class HintSpec:
    """Sizes of a hint encoder.

    `stem` are the eight widths along its seven convs (hint image first), `kernel` the size k of its dense
    convs. `features[i]` and `strides[i]` are the width of the hint feature for output block `i` and the
    stride that leads to it; `dense` are the blocks that have a dense conv (a block without one passes the
    deeper input on unchanged).
    """

    stem: tuple[int, ...]
    kernel: int
    features: tuple[int, ...]
    strides: tuple[int, ...]
    dense: tuple[int, ...]


@dataclass(frozen=True)
class TunerSpec:
    """Kind and sizes of a tuner set. `channels[block]` and `ranks[block]` exist for the tuned blocks only."""

    kind: Literal["sc", "csc"]
    channels: Mapping[int, int]
    ranks: Mapping[int, int]
    hint: HintSpec | None = None

    @classmethod
    def sc(cls, layout: SkipLayout, ratio: float = 1.0, blocks: tuple[int, ...] | None = None) -> TunerSpec:
        """SC-Tuner for a U-Net; rank = int(channels / ratio), so ratio 5 is a fifth (paper, Table 5)."""
        chosen = tuple(range(len(layout.channels))) if blocks is None else tuple(blocks)
        channels = {block: layout.channels[block] for block in chosen}
        return cls("sc", channels, {block: int(width / ratio) for block, width in channels.items()})

    @classmethod
    def csc(
        cls, layout: SkipLayout, ratio: float = 1.0, *, kernel: int = 1, stem: StemSize = SD_STEM
    ) -> TunerSpec:
        """CSC-Tuner with an adapter and a dense hint conv for every skip (paper, Section 3.3 and Fig. 4c)."""
        tuners = cls.sc(layout, ratio)
        blocks = tuple(range(len(layout.channels)))
        hint = HintSpec(stem.widths, kernel, layout.channels, layout.strides, blocks)
        return cls("csc", tuners.channels, tuners.ranks, hint)

    def describe(self) -> str:
        """Skip widths as a reader would write them, with the U-Net family where they name one."""
        count = len(self.hint.features) if self.hint else None
        widths = tuple(self.channels[block] for block in sorted(self.channels))
        contiguous = sorted(self.channels) == list(range(len(widths)))
        shown = str(widths) if contiguous else str({b: self.channels[b] for b in sorted(self.channels)})
        family = family_name(self.channels, count or (len(widths) if contiguous else None))
        return f"{shown} ({family})" if family else shown

    def check_fits(self, layout: SkipLayout, name: str) -> None:
        """Raise SCEditError, naming both skip lists, if this tuner was made for another U-Net."""
        count = len(layout.channels)
        fits = all(block < count and layout.channels[block] == w for block, w in self.channels.items())
        if not fits or (self.hint is not None and len(self.hint.features) != count):
            raise SCEditError(
                f"'{name}' was made for a U-Net with skips {self.describe()}, but this model has skips "
                f"{TunerSpec.sc(layout).describe()}; load the checkpoint it was trained on, or a tuner "
                "made for this one"
            )
        if self.hint is not None and self.hint.strides != layout.strides:
            raise SCEditError(
                f"'{name}' halves its hint before skips {_halvings(self.hint.strides)}, but this model "
                f"halves before skips {_halvings(layout.strides)}; keep the configuration.json that came "
                "with the file beside it"
            )


def _halvings(strides: tuple[int, ...]) -> list[int]:
    return [block for block, stride in enumerate(strides) if stride == 2]
