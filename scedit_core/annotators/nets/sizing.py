"""The size at which a net looks at a photo, and the way there and back: both axes scaled, nothing cut.

Nets that halve their picture several times shift what they see if its sides are no multiples of that. Scaling
to the nearest multiples and back keeps every edge in its place, from both sides alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ...errors import SCEditError
from ...hint import scaled


@dataclass(frozen=True)
class Look:
    """How a net wants its photo, and what memory looking at it takes.

    Sides are multiples of `multiple`; `most` bounds the short side where the user asks for none (0: not
    bounded). The memory has a part of `seen_bytes` for each pixel that the net looks at, one of `photo_bytes`
    for each pixel of the photo, whatever the resolution, and a `fixed` one: peaks above the net itself, as
    `benchmarks/hint_memory.py` found them on a CPU, and a tenth more. `on_host` says that they lie in the
    computer's own memory even if the net runs on a GPU.
    """

    multiple: int
    seen_bytes: int
    photo_bytes: int = 0
    fixed: int = 0
    most: int = 0
    on_host: bool = False

    def size(self, height: int, width: int, resolution: int = 0) -> tuple[int, int]:
        """Height and width at which the net looks; `resolution` is the short side, 0 the photo's own."""
        if resolution < 0:
            raise SCEditError(
                f"resolution is the short side in pixels, or 0 for the image's own; got {resolution}"
            )
        short = min(height, width)
        scale = (resolution or min(short, self.most or short)) / short
        high, wide = (max(1, round(side * scale / self.multiple)) for side in (height, width))
        return high * self.multiple, wide * self.multiple

    def memory(self, height: int, width: int, resolution: int = 0) -> int:
        """About how many bytes looking at such a photo takes at most."""
        high, wide = self.size(height, width, resolution)
        return high * wide * self.seen_bytes + height * width * self.photo_bytes + self.fixed


def to_net(photo: np.ndarray, size: tuple[int, int], device: torch.device) -> Tensor:
    """A photo, uint8 `(H, W, 3)`, as `(1, 3, *size)` with values 0 to 255; of `(N, H, W, 3)`, N of them."""
    pixels = torch.from_numpy(np.ascontiguousarray(photo)).to(device)
    photos = pixels if pixels.ndim == 4 else pixels[None]
    # in the usual order of memory: nets round otherwise where channels lie together
    return scaled(rearrange(photos, "n h w c -> n c h w").float().contiguous(), size)


def to_pixels(image: Tensor) -> np.ndarray:
    """`(1, C, H, W)` of values 0 to 255 as uint8 RGB `(H, W, 3)`, rounded down as in controlnet-aux."""
    return all_to_pixels(image)[0]


def all_to_pixels(images: Tensor) -> np.ndarray:
    """`(N, C, H, W)` of values 0 to 255 as uint8 RGB `(N, H, W, 3)`, rounded down as in controlnet-aux."""
    pixels = rearrange(images.clamp(0, 255).to(torch.uint8), "n c h w -> n h w c").cpu().numpy()
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))
