"""Whether a picture can be a hint of the kind that a control asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

_COLOURED = 0.1  # difference between channels of one pixel that no rounding, scaling or JPEG makes
_FEW = 0.02  # share of pixels that may be odd


class _Look(NamedTuple):
    """What hints of a kind look like."""

    words: str
    is_grey: bool = False
    is_black_and_white: bool = False


_LOOKS: Mapping[str, _Look] = {
    "canny": _Look("white edges on black", is_grey=True, is_black_and_white=True),
    "hed": _Look("dark edges on white, without colour", is_grey=True),
    "depth": _Look("grey depth, near is bright", is_grey=True),
}


def misfit(image: Tensor, name: str, metadata: Mapping[str, str]) -> str | None:
    """Why images (N, H, W, C), 0..1, cannot be hints of a control, in one sentence; None if they can.

    The control's kind is what its metadata says or its name has in it. A kind whose hints may look like any
    picture (colour, masked image) has nothing to refuse.
    """
    said = metadata.get("scedit.condition") or name
    kind = next((kind for kind in _LOOKS if kind in said.lower()), None)
    if kind is None or image.ndim != 4 or not image.numel():
        return None
    look, pixels = _LOOKS[kind], image[..., :3].float()
    if look.is_grey and _share((pixels.amax(-1) - pixels.amin(-1)) > _COLOURED) > _FEW:
        return _sentence(name, look, "has colours")
    grey = pixels.mean(-1)
    if look.is_black_and_white and _share((grey > 0.2) & (grey < 0.8)) > 0.5:
        return _sentence(name, look, "is mostly grey")
    return None


def _share(mask: Tensor) -> float:
    return float(mask.float().mean())


def _sentence(name: str, look: _Look, found: str) -> str:
    return (
        f"the hint {found}, but '{name}' follows {look.words}; is a hint node missing before it, or bypassed?"
    )
