"""What a preparation did, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ....errors import listed
from ....hint import PIXELS_PER_LATENT
from .drawing import Drawn
from .manifest import Manifest
from .sources import LeftOut

_MOST_SIZES = 8


@dataclass
class Report:
    """Counts of a preparation; `text` says them."""

    made_again: tuple[str, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    without_caption: LeftOut = field(default_factory=LeftOut)
    empty: LeftOut = field(default_factory=LeftOut)
    enlarged: LeftOut = field(default_factory=LeftOut)
    cut_off: LeftOut = field(default_factory=LeftOut)
    kept: int = 0
    added: int = 0
    removed: int = 0
    examples: int = 0
    bytes: int = 0
    shards: int = 0
    hints: tuple[str, ...] = ()
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, one: Drawn) -> None:
        """Count a new example."""
        self.added += 1
        notes = ((self.empty, not one.caption), (self.enlarged, one.crop.scale > 1.1))
        for note, is_so in (*notes, (self.cut_off, one.crop.lost > 0.25)):
            if is_so:
                note.add(one.source.name)

    def finish(self, manifest: Manifest, entries: np.ndarray) -> None:
        """Count what the set holds now."""
        self.examples, self.shards = len(entries), len(manifest.shards)
        self.bytes = sum(shard.bytes for shard in manifest.shards)
        self.hints = manifest.head.hints
        shapes, counts = np.unique(entries[["width", "height"]], return_counts=True)
        for (width, height), count in zip(shapes.tolist(), counts.tolist(), strict=True):
            self.sizes[PIXELS_PER_LATENT * width, PIXELS_PER_LATENT * height] = count

    def text(self) -> str:
        """All of it, a line each."""
        each = f", {self.bytes // self.examples:,} bytes each" if self.examples else ""
        sizes = [f"{w} x {h}: {n}" for (w, h), n in self.sizes.most_common()]
        lines = [
            f"{self.examples:,} examples in {self.shards} shards, {self.bytes / 1e6:,.1f} MB{each}",
            f"added {self.added:,}, unchanged {self.kept:,}, removed or changed {self.removed:,}",
            f"sizes: {listed(sizes, _MOST_SIZES)}",
            f"hints: {', '.join(self.hints) or 'none'}",
        ]
        if self.made_again:
            lines.append(f"damaged shards, made again: {listed(self.made_again)}")
        notes = {
            "left out": self.left_out,
            "without caption of their own": self.without_caption,
            "empty captions": self.empty,
            "enlarged by more than a tenth": self.enlarged,
            "more than a quarter cut off": self.cut_off,
        }
        return "\n".join(
            lines + [f"{note} ({out.count:,}): {out.told()}" for note, out in notes.items() if out.count]
        )
