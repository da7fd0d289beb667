"""The skip connections of an LDM U-Net: how many, how wide, and where the encoder halves its resolution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .errors import SCEditError

_CONFIG_KEYS = ("model_channels", "channel_mult", "num_res_blocks")


@dataclass(frozen=True)
class SkipLayout:
    """Channels and strides of every skip of a U-Net, in output-block order (0 is the deepest block).

    `channels[i]` is the width of the skip given to output block `i`. `strides[i]` is 2 where the input block
    that makes this skip halves the resolution, else 1 (conv_in has 1: the latent's own size). `attention` are
    the input blocks (0 is conv_in) that go on with an attention after their resnet. `base` is the family of
    a U-Net that has its skips in common with another family, and None for others.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    attention: frozenset[int] = field(default=frozenset(), compare=False)
    base: str | None = field(default=None, compare=False)

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

        depths = list(config.get("transformer_depth") or [])
        channels, strides, attention = [width], [1], []
        for level, (mult, count) in enumerate(zip(mults, per_level, strict=True)):
            attention += [len(channels) + i for i, depth in enumerate(depths[:count]) if depth]
            depths = depths[count:]
            channels += [width * mult] * count
            strides += [1] * count
            if level < len(mults) - 1:
                channels.append(width * mult)
                strides.append(2)
        base = _BASES.get(config.get("context_dim") or 0) if tuple(channels[::-1]) == _SD else None
        return cls(tuple(reversed(channels)), tuple(reversed(strides)), frozenset(attention), base)

    @classmethod
    def from_channels(cls, channels: Sequence[int]) -> SkipLayout:
        """Layout of the U-Net with these skip widths (output order), for files that state no strides.

        Every level of an LDM U-Net gives the same number of skips and widths change only after a halving; of
        the level sizes that agree with the widths, those of LEVEL_SIZES are preferred, then the largest.
        """
        width = list(reversed(channels))
        changes = [j - 1 for j in range(1, len(width)) if width[j] != width[j - 1]]
        sizes = [
            size
            for size in range(2, len(width) + 1)
            if len(width) % size == 0 and all(change % size == 0 for change in changes)
        ]
        preferred = [size for size in LEVEL_SIZES if size in sizes] + sizes[::-1]
        if not preferred:
            raise SCEditError(
                f"skip widths {tuple(channels)} are not those of a U-Net with equal levels; keep the "
                "configuration.json that came with the file beside it, it states where the U-Net halves"
            )
        strides = [2 if j and j % preferred[0] == 0 else 1 for j in range(len(width))]
        return cls(tuple(channels), tuple(reversed(strides)))


_SD = (1280,) * 5 + (640,) * 3 + (320,) * 4
SD1, SD2 = "SD 1.5", "SD 2.x"
# SD's two families have the same skips; the width of the prompt tells their U-Nets apart.
_BASES = {768: SD1, 1024: SD2}


class _Family(NamedTuple):
    """U-Nets with the same skips: their widths (output order), and how many of them each level has."""

    name: str
    channels: tuple[int, ...]
    per_level: int


_FAMILIES = (
    _Family(f"{SD1} / {SD2}", _SD, 3),
    _Family("SDXL", (1280,) * 2 + (640,) * 3 + (320,) * 4, 3),  # and SSD-1B and Segmind Vega
    _Family("KOALA", (1280, 640, 640, 320, 320, 320), 2),
)
LEVEL_SIZES = tuple(dict.fromkeys(family.per_level for family in _FAMILIES))  # the most usual first


def family_names(
    channels: Mapping[int, int],
    count: int | None = None,
    *,
    from_input: bool = False,
    per_level: int | None = None,
) -> list[str]:
    """The U-Net families with skips of these widths, `count` in all and `per_level` each, where known.

    `channels[block]` is in output order, or in input order if they are told `from_input`.
    """
    return [
        name
        for name, widths, size in _FAMILIES
        if count in (None, len(widths))
        and per_level in (None, size)
        and all(
            block < len(widths) and widths[:: -1 if from_input else 1][block] == width
            for block, width in channels.items()
        )
    ]


def family_name(channels: Mapping[int, int], count: int | None = None) -> str | None:
    """The U-Net family with these skip widths (`channels[block]`); None where none or several have them."""
    matches = family_names(channels, count)
    return matches[0] if len(matches) == 1 else None


# How files name the family that they were trained on: modelspec, kohya's, our own and the authors' words.
_BASE_WORDS = {
    SD1: r"stable-diffusion-v1|sd[ _-]?v?1[._-]?[x45]|sd_v1",
    SD2: r"stable-diffusion-v?-?2|sd[ _-]?v?2[._-]?[x01]|sd_v2|v2-1",
}


def stated_base(metadata: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
    """SD 1.5 or SD 2.x, where a file's metadata or the JSON beside it says which; they look the same."""
    own = metadata.get("scedit.family")
    if own in _BASE_WORDS:
        return own
    keys = ("modelspec.architecture", "scedit.base", "ss_base_model_version")
    text = " ".join([*(metadata.get(key, "") for key in keys), *_texts(config)]).lower()
    found = [base for base, pattern in _BASE_WORDS.items() if re.search(pattern, text)]
    return found[0] if len(found) == 1 else None


def _texts(setting: Any, depth: int = 0) -> Iterator[str]:
    """All texts in nested settings; those of authors' tools are three deep."""
    if isinstance(setting, str):
        yield setting
    elif isinstance(setting, dict | list) and depth < 8:
        for inner in setting.values() if isinstance(setting, dict) else setting:
            yield from _texts(inner, depth + 1)
