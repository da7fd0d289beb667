"""One picture read, cropped and its hints drawn: what worker threads do ahead of the VAE."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL.Image import Resampling

from ....errors import SCEditError, shown
from ..buckets import Crop, Sizing
from ..captions import with_trigger
from ..folder import ANNOTATORS, READY_HINT, SAME_ASPECT, draw_hints
from ..pictures import load_cropped
from .manifest import MOST_HINTS
from .packing import to_png
from .sources import Source

NET_HINTS = ("hed", "depth", "pose", "segmentation")  # drawn by nets, on the device
HINTS = (*ANNOTATORS, *NET_HINTS, READY_HINT)
MOST_VARIANTS = 64


@dataclass(frozen=True)
class PrepareSettings:
    """What is made of each picture. `resolution` is in pixels, as the side of a square.

    Of each kind of `hints` that is drawn with random settings, a picture gets `hint_variants` drawings.
    """

    hints: tuple[str, ...] = ()
    hint_folder: str = "hints"
    resolution: int = 512
    buckets: bool = True
    trigger: str = ""
    caption_when_missing: str = ""
    hint_variants: int = 1
    seed: int = 0
    enlarge: bool = True

    def __post_init__(self) -> None:
        unknown = [hint for hint in self.hints if hint not in HINTS]
        if unknown:
            raise SCEditError(
                f"a hint is one of {', '.join(HINTS)}, got '{shown(unknown[0])}'; choose of them"
            )
        if len(set(self.hints)) != len(self.hints) or len(self.hints) > MOST_HINTS:
            raise SCEditError(
                f"each kind of hint is named once, and {MOST_HINTS} at most, got {', '.join(self.hints)}; "
                "leave the others out"
            )
        if not 1 <= self.hint_variants <= MOST_VARIANTS:
            raise SCEditError(
                f"hint_variants is from 1 to {MOST_VARIANTS}, got {self.hint_variants}; give each picture one"
            )

    def crop(self, width: int, height: int) -> Crop:
        """The part of a picture of this size that is trained on."""
        size = Sizing(self.resolution, self.buckets, self.enlarge).size(width, height)
        return Crop((width, height), size)

    def stamp(self, source: Source) -> int:
        """Changes with a picture's files and with everything that its example is made with."""
        stand_in = self.caption_when_missing if source.caption is None else ""
        drawn = (self.hint_variants, self.seed) if set(self.hints) & set(ANNOTATORS) else ()
        own_size = () if self.enlarge else ("not enlarged",)  # sets of before know no such word
        return source.stamp(self.hints, self.trigger, stand_in, drawn, *own_size)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture on its way to the VAE: RGB uint8 (H, W, 3), and its hints by kind, but for those of nets."""

    source: Source
    stamp: int
    picture: np.ndarray
    crop: Crop
    caption: str
    hints: Mapping[str, Sequence[bytes]]


def draw(source: Source, settings: PrepareSettings) -> Drawn:
    """Read a picture and its caption, and draw its hints. Raises SCEditError for what cannot be read."""
    text = source.text()
    caption = with_trigger(settings.caption_when_missing if text is None else text, settings.trigger)
    picture, crop = load_cropped(source.picture, settings.crop)
    kinds = [kind for kind in settings.hints if kind not in NET_HINTS]
    hints = {kind: tuple(map(to_png, _hint(kind, source, picture, crop, settings))) for kind in kinds}
    return Drawn(source, settings.stamp(source), picture, crop, caption, hints)


def _hint(
    kind: str, source: Source, picture: np.ndarray, crop: Crop, settings: PrepareSettings
) -> list[np.ndarray]:
    """The drawings of one kind, each RGB uint8 (H, W, 3)."""
    if kind == READY_HINT:
        return [_ready_hint(source, crop)]
    name = unicodedata.normalize("NFC", str(PurePosixPath(source.name).with_suffix("")))
    called = name.encode("utf-8", "surrogateescape")
    return draw_hints(kind, picture, called, seed=settings.seed, variants=settings.hint_variants)


def _ready_hint(source: Source, crop: Crop) -> np.ndarray:
    if source.hint is None:
        raise SCEditError(f"'{shown(source.name)}' has no hint; add one of the same name")
    # as hints are scaled when a control is applied; Lanczos would ring at the edges
    hint, own = load_cropped(source.hint, lambda w, h: Crop((w, h), crop.size), Resampling.BILINEAR)
    (width, height), (hint_width, hint_height) = crop.original, own.original
    if abs(hint_width * height / (hint_height * width) - 1) > SAME_ASPECT:
        raise SCEditError(
            f"the hint of '{shown(source.name)}' is {hint_width} x {hint_height}, its picture {width} x "
            f"{height}; make the hint from the whole picture"
        )
    return hint
