"""Pictures that a model draws by itself from prompts, to be learnt from where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...errors import SCEditError, shown
from ...hint import PIXELS_PER_LATENT
from .buckets import Crop
from .folder import ANNOTATORS, NO_HINT, draw_hints

SMALLEST = 64  # pixels: U-Nets halve latents three times
MOST_PICTURES = 10_000
_COMMENT = "#"
_PIXEL_BYTES = 12  # of an IMAGE: three numbers in float32
_LATENT_BYTES = 16  # of a place of a latent
_CAPTION_BYTES = 700_000  # of a caption for SDXL; others take less


@dataclass(frozen=True)
class PromptedSettings:
    """What is drawn: `count` pictures to each line of `prompts`, of `width` x `height` pixels.

    Pictures are numbered from 0: the first of every line, then the second of every line, and so on, so that a
    greater count leaves those before it as they are. Of each, `hint_variants` hints are drawn.
    """

    prompts: str
    count: int = 4
    width: int = 512
    height: int = 512
    seed: int = 0
    hint: str = NO_HINT
    hint_variants: int = 1

    def __post_init__(self) -> None:
        for name, size in (("width", self.width), ("height", self.height)):
            if size < SMALLEST or size % PIXELS_PER_LATENT:
                raise SCEditError(
                    f"{name} is {SMALLEST} pixels or more, in steps of {PIXELS_PER_LATENT}, got {size}; use "
                    "for instance 512"
                )
        known = (NO_HINT, *ANNOTATORS)
        if self.hint not in known:
            raise SCEditError(
                f"hint is one of {', '.join(known)}, got '{shown(self.hint)}'; choose one of them"
            )
        if min(self.count, self.hint_variants) < 1:
            raise SCEditError(
                f"count and hint_variants are at least 1, got {self.count} and {self.hint_variants}; draw one"
            )
        if not self.lines:
            raise SCEditError(
                "there is no prompt: prompts has no line, or lines that begin with # alone; write one prompt "
                "on each line"
            )
        total = len(self.lines) * self.count
        if total > MOST_PICTURES:
            raise SCEditError(
                f"{len(self.lines)} prompts with {self.count} pictures each make {total:,} pictures, and a "
                f"list holds at most {MOST_PICTURES:,} in memory; lower count, or save pictures in a folder "
                "and read it with 'Prepare Dataset'"
            )

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The prompts; blank lines, and those that begin with #, are left out."""
        stripped = (line.strip() for line in self.prompts.splitlines())
        return tuple(line for line in stripped if line and not line.startswith(_COMMENT))

    @property
    def captions(self) -> tuple[str, ...]:
        """The prompt of each picture."""
        return self.lines * self.count

    @property
    def has_hints(self) -> bool:
        """Whether hints are drawn."""
        return self.hint != NO_HINT

    @property
    def crop(self) -> Crop:
        """What captions tell SDXL of these pictures: nothing is cut off."""
        size = (self.width, self.height)
        return Crop(size, size)

    def seed_of(self, number: int) -> int:
        """The seed that a picture is drawn from, whatever is drawn beside it."""
        return (self.seed + number) % 2**64

    def hints(self, number: int, picture: np.ndarray) -> np.ndarray:
        """Hints (V, H, W, 3) of a picture (H, W, 3), uint8, as of a file that is named after its number."""
        called = str(number).encode()
        how = {"seed": self.seed, "variants": self.hint_variants}
        return np.stack(draw_hints(self.hint, picture, called, **how))

    def check_room(self, free: int, *, has_pictures: bool) -> None:
        """Refuse what does not fit into `free` bytes of memory, with or without the pictures themselves."""
        images = has_pictures + (self.hint_variants if self.has_hints else 0)
        each = self.width * self.height * (_PIXEL_BYTES * images + _LATENT_BYTES / PIXELS_PER_LATENT**2)
        needed = len(self.captions) * each + len(self.lines) * _CAPTION_BYTES
        if needed > free:
            raise SCEditError(
                f"this needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; lower "
                "count or hint_variants, or draw smaller pictures"
            )

    def describe(self) -> str:
        """What was drawn, for people."""
        total = len(self.captions)
        each = f", {self.hint_variants} per picture" if self.has_hints else ""
        last = f" to {self.seed_of(total - 1)}" if total > 1 else ""
        return "\n".join((
            f"{total} pictures of {self.width} x {self.height}",
            f"prompts: {len(self.lines)}, with {self.count} each",
            f"seeds: {self.seed}{last}",
            f"hints: {self.hint}{each}",
        ))  # fmt: skip
