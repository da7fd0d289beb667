"""What a tuner is made of: kind and sizes, decided once when a file is read or a training starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import SCEditError
from .unet import SkipLayout, family_name, family_names

Kind = Literal["sc", "csc"]
TunerOp = Literal["adapter", "conv", "lora", "mlp"]
Place = Literal["skip", "encoder"]

KIND_WORDS: Mapping[Kind, str] = {"sc": "an SC-Tuner (style)", "csc": "a CSC-Tuner (control)"}

# Strides of the seven convs that bring an RGB hint to latent size, from 8 pixels to 1, and the widths between
# them, before their ratio (paper, Fig. 4c).
STEM_STRIDES = (1, 1, 2, 1, 2, 1, 2)
STEM_WIDTHS = (16, 16, 32, 32, 96, 96)
STEM_CONVS = len(STEM_STRIDES)

_MOST_RATIO = 64  # by which convs and ranks are wider than usual; the paper's widest are twice as wide


@dataclass(frozen=True)
class StemSize:
    """Ratio of the inner widths of a hint encoder's stem, and the width it ends with."""

    ratio: float
    out: int

    def __post_init__(self) -> None:
        if not 1 / STEM_WIDTHS[0] <= self.ratio <= _MOST_RATIO or self.out < 1:
            raise SCEditError(
                f"a hint encoder's stem of ratio {self.ratio} that ends with {self.out} channels has convs "
                f"without channels, or too many; choose a ratio from {1 / STEM_WIDTHS[0]} to {_MOST_RATIO} "
                "and some channels"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The eight widths along the seven convs, RGB hint first."""
        return (3, *(int(width * self.ratio) for width in STEM_WIDTHS), self.out)


_DUAL_RATIO = 5  # width of a dense block to that between its two convs (paper, Table 6)

# Stems of the controllers published for SD 2.1 and for SDXL.
SD_STEM = StemSize(1.0, 256)
SDXL_STEM = StemSize(2.0, 320)


def published_stem(layout: SkipLayout) -> StemSize:
    """The stem of the authors' controllers for this U-Net; that of SD where they published none."""
    channels = dict(enumerate(layout.channels))
    return SDXL_STEM if family_name(channels, len(channels)) == "SDXL" else SD_STEM


@dataclass(frozen=True)
class HintSpec:
    """Sizes of a hint encoder.

    `stem` are the eight widths along its seven convs (hint image first), `kernel` the size k of its dense
    convs. `features[i]` and `strides[i]` are the width of the hint feature for output block `i` and the
    stride that leads to it; `dense` are the blocks that have a dense conv (a block without one passes the
    shallower feature on unchanged). `bottlenecks[block]` is the width between the two convs of a dense block
    that is a pair of them; None if they are single convs.
    """

    stem: tuple[int, ...]
    kernel: int
    features: tuple[int, ...]
    strides: tuple[int, ...]
    dense: tuple[int, ...]
    bottlenecks: Mapping[int, int] | None = None

    @classmethod
    def for_layout(cls, layout: SkipLayout, encoder: EncoderSize, blocks: tuple[int, ...]) -> HintSpec:
        """Sizes of an encoder for the tuners of these blocks; `()` stands for all.

        A chosen set of blocks is read in input order for the dense convs, as the released code reads its
        USE_LAYERS (the paper's 17.14M come out so); where the U-Net halves or widens there is always one.
        """
        last = len(layout.channels) - 1
        dense = _turns(layout, encoder.stem.out) | {last - block for block in blocks or range(last + 1)}
        bottlenecks = None
        if encoder.is_dual:
            bottlenecks = {block: max(1, layout.channels[block] // _DUAL_RATIO) for block in sorted(dense)}
        kernel = 3 if encoder.is_dual else encoder.kernel
        return cls(
            encoder.stem.widths, kernel, layout.channels, layout.strides, tuple(sorted(dense)), bottlenecks
        )


@dataclass(frozen=True)
class EncoderSize:
    """Size of a hint encoder: kernel k of its dense convs, or pairs of convs in their place, and its stem.

    `is_dual` is the paper's Dual Conv: a 3x3 conv to a fifth of the width, then a 1x1 conv (Table 6).
    """

    kernel: int = 1
    stem: StemSize = SD_STEM
    is_dual: bool = False

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SCEditError(f"the kernel of the dense hint convs is odd (1 or 3), got {self.kernel}")


@dataclass(frozen=True)
class TunerSpec:
    """Kind and sizes of a tuner set. `channels[block]` and `ranks[block]` exist for the tuned blocks only.

    `op` is the form of each tuner: an adapter (the paper's choice), its variant with 3x3 convs, LoRA's, or
    scedit-pytorch's of three layers. `base` is the family it was trained on, if its file says so.

    Tuners of `place` "encoder" edit what the encoder passes on, not only skips (ms-swift's encoder mode);
    their blocks are input blocks, and those of `after_resnet` must have no attention after their resnet.
    """

    kind: Kind
    channels: Mapping[int, int]
    ranks: Mapping[int, int]
    hint: HintSpec | None = None
    op: TunerOp = "adapter"
    place: Place = "skip"
    after_resnet: frozenset[int] = frozenset()
    base: str | None = None

    @classmethod
    def sc(
        cls,
        layout: SkipLayout,
        ratio: float = 1.0,
        blocks: tuple[int, ...] | None = None,
        op: TunerOp = "adapter",
    ) -> TunerSpec:
        """SC-Tuner for a U-Net; rank = int(channels / ratio), so ratio 5 is a fifth (paper, Table 5).

        Raises SCEditError for blocks that the U-Net does not have, and for a ratio that leaves no rank.
        """
        count = len(layout.channels)
        chosen = tuple(range(count)) if blocks is None else tuple(sorted(set(blocks)))
        if not chosen or not all(0 <= block < count for block in chosen):
            raise SCEditError(
                f"this model has the skips 0 to {count - 1}, counted from the deepest; got {list(chosen)}; "
                "name at least one of them"
            )
        channels = {block: layout.channels[block] for block in chosen}
        smallest = min(channels.values())
        if not 0 < ratio <= smallest:
            raise SCEditError(
                f"rank = channels / ratio must be at least 1 at every skip; the narrowest has {smallest} "
                f"channels, so choose a ratio above 0 and up to {smallest}, not {ratio}"
            )
        if ratio * _MOST_RATIO < 1:
            raise SCEditError(
                f"a ratio of {ratio} makes tuners more than {_MOST_RATIO} times as wide as their skips; "
                "choose 0.1 or more"
            )
        return cls("sc", channels, {block: int(width / ratio) for block, width in channels.items()}, op=op)

    @classmethod
    def csc(
        cls,
        layout: SkipLayout,
        ratio: float = 1.0,
        blocks: tuple[int, ...] | None = None,
        op: TunerOp = "adapter",
        *,
        encoder: EncoderSize | None = None,
    ) -> TunerSpec:
        """CSC-Tuner: a tuner for each block and a hint encoder (paper, Section 3.3 and Fig. 4c)."""
        tuners = cls.sc(layout, ratio, blocks, op)
        chosen = () if blocks is None else tuple(tuners.channels)
        hint = HintSpec.for_layout(layout, encoder or EncoderSize(), chosen)
        return cls("csc", tuners.channels, tuners.ranks, hint, op)

    @property
    def families(self) -> list[str]:
        """The U-Net families that these tuners fit; empty if we know none of this size."""
        count = len(self.hint.features) if self.hint else None
        names = family_names(self.channels, count, from_input=self.place == "encoder")
        return [self.base] if self.base and any(self.base in name for name in names) else names

    def describe(self) -> str:
        """The U-Net families that have these skips, and then their widths, as a reader would write them."""
        widths = {block: self.channels[block] for block in sorted(self.channels)}
        is_whole = self.place == "skip" and list(widths) == list(range(len(widths)))
        shown = str(tuple(widths.values())) if is_whole else str(widths)
        where = "skips" if self.place == "skip" else "input blocks"
        return f"{' or '.join(self.families) or 'a U-Net'} with {where} {shown}"

    def check_fits(self, layout: SkipLayout, name: str) -> None:
        """Raise SCEditError, naming both skip lists, if this tuner was made for another U-Net."""
        skips = layout.channels if self.place == "skip" else layout.channels[::-1]
        fits = all(block < len(skips) and skips[block] == w for block, w in self.channels.items())
        if self.hint is not None:
            fits = fits and len(self.hint.features) == len(skips)
        if not fits or (self.base and layout.base and self.base != layout.base):
            raise SCEditError(self._misfit(self._of(layout, skips), name))
        self._check_places(layout, name)

    def _misfit(self, model: TunerSpec, name: str) -> str:
        return (
            f"'{name}' was made for {self.describe()}, but this model is {model.describe()}; load the "
            "checkpoint it was trained on, or a tuner made for this one"
        )

    def _of(self, layout: SkipLayout, skips: tuple[int, ...]) -> TunerSpec:
        """A spec that describes a model as this one describes a tuner."""
        channels = dict(enumerate(skips))
        return TunerSpec("sc", channels, channels, place=self.place, base=layout.base)

    def _check_places(self, layout: SkipLayout, name: str) -> None:
        lost = sorted(self.after_resnet & layout.attention)
        if lost:
            raise SCEditError(
                f"'{name}' edits input blocks {lost} between their resnet and their attention, where ComfyUI "
                "lets nothing in; use a tuner that was trained on the attentions or on the skips"
            )
        if self.hint is not None and self.hint.strides != layout.strides:
            raise SCEditError(
                f"'{name}' halves its hint before skips {_halvings(self.hint.strides)}, but this model "
                f"halves before skips {_halvings(layout.strides)}; keep the configuration.json that came "
                "with the file beside it"
            )


def _turns(layout: SkipLayout, width: int) -> set[int]:
    """Blocks whose hint feature has another size or width than the one it is made from."""
    turns = set()
    for block in reversed(range(len(layout.channels))):
        if layout.channels[block] != width or layout.strides[block] != 1:
            turns.add(block)
        width = layout.channels[block]
    return turns


def _halvings(strides: tuple[int, ...]) -> list[int]:
    return [block for block, stride in enumerate(strides) if stride == 2]
