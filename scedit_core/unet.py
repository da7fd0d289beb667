"""The skip connections of an LDM U-Net: how many, how wide, and where the encoder halves its resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import SCEditError

_CONFIG_KEYS = ("model_channels", "channel_mult", "num_res_blocks")


@dataclass(frozen=True)
class SkipLayout:
    """Channels and strides of every skip of a U-Net, in output-block order (0 is the deepest block).

    `channels[i]` is the width of the skip given to output block `i`. `strides[i]` is 2 where the input block
    that makes this skip halves the resolution, else 1 (conv_in has 1: the latent's own size).
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def from_unet_config(cls, config: Mapping[str, Any]) -> SkipLayout:
        """Layout of the U-Net that this LDM-style config builds; SCEditError where there is none (DiT)."""
        missing = [key for key in _CONFIG_KEYS if config.get(key) is None]
        if missing:
            raise SCEditError(
                "this model has no U-Net skip connections (its config lacks "
                f"{', '.join(missing)}), so there is nothing for SCEdit to edit; "
                "load an SD 1.5, SD 2.x or SDXL checkpoint"
            )
        width = config["model_channels"]
        mults: Sequence[int] = config["channel_mult"]
        res_blocks = config["num_res_blocks"]
        per_level = [res_blocks] * len(mults) if isinstance(res_blocks, int) else list(res_blocks)

        channels, strides = [width], [1]
        for level, (mult, count) in enumerate(zip(mults, per_level, strict=True)):
            channels += [width * mult] * count
            strides += [1] * count
            if level < len(mults) - 1:
                channels.append(width * mult)
                strides.append(2)
        return cls(tuple(reversed(channels)), tuple(reversed(strides)))

    @classmethod
    def from_channels(cls, channels: Sequence[int]) -> SkipLayout:
        """Layout of the U-Net with these skip widths (output order), for files that state no strides.

        Every level of an LDM U-Net gives the same number of skips and widths change only after a halving; of
        the level sizes that agree with the widths, SD's 3 is preferred, then 2, then the largest.
        """
        width = list(reversed(channels))
        changes = [j - 1 for j in range(1, len(width)) if width[j] != width[j - 1]]
        sizes = [
            size
            for size in range(2, len(width) + 1)
            if len(width) % size == 0 and all(change % size == 0 for change in changes)
        ]
        preferred = [size for size in (3, 2) if size in sizes] + sizes[::-1]
        if not preferred:
            raise SCEditError(
                f"skip widths {tuple(channels)} are not those of a U-Net with equal levels; keep the "
                "configuration.json that came with the file beside it, it states where the U-Net halves"
            )
        strides = [2 if j and j % preferred[0] == 0 else 1 for j in range(len(width))]
        return cls(tuple(channels), tuple(reversed(strides)))


_FAMILIES = {
    (1280,) * 5 + (640,) * 3 + (320,) * 4: "SD 1.5 / SD 2.x",
    (1280,) * 2 + (640,) * 3 + (320,) * 4: "SDXL",
}


def family_name(channels: Mapping[int, int], count: int | None = None) -> str | None:
    """The U-Net family with these skip widths (`channels[block]`); None where none or several have them."""
    matches = [
        name
        for widths, name in _FAMILIES.items()
        if count in (None, len(widths))
        and all(block < len(widths) and widths[block] == width for block, width in channels.items())
    ]
    return matches[0] if len(matches) == 1 else None
