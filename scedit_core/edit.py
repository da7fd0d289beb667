"""Edits of skip connections: which tuners act, how strongly, when and where, and what they make of a skip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .control import CSCTunerSet
from .errors import SCEditError
from .hint import PIXELS_PER_LATENT, cover, cycled
from .tuner import SCTunerSet

Area = tuple[int, int, int, int]  # top, left, height and width of a part of a latent


@dataclass(frozen=True, eq=False)
class SkipEdit:
    """A tuner set and how strongly, when, where and for which latent it acts.

    `hint` `(N, 3, H, W)`, values 0..1, is what a CSCTunerSet sees and is None for an SCTunerSet. `mask` `(M,
    1, H, W)` is 1 where the edit acts. Latent k of a batch takes hint k mod N and mask k mod M. The edit acts
    while `sigma_end <= sigma <= sigma_start`. Where a part of the picture is computed by itself, an edit that
    `is_whole` sees its part of hint and mask; others have them for that part alone.
    """

    tuners: SCTunerSet | CSCTunerSet
    strength: float = 1.0
    hint: Tensor | None = None
    mask: Tensor | None = None
    sigma_start: float = math.inf
    sigma_end: float = 0.0
    is_whole: bool = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise SCEditError(
                f"strength must be a finite number, got {self.strength}; 1 is the trained strength"
            )
        if (self.tuners.kind == "csc") != (self.hint is not None):
            raise SCEditError(
                "a CSC-Tuner needs a hint image and an SC-Tuner takes none; got "
                f"{type(self.tuners).__name__} with{'' if self.hint is not None else 'out'} a hint"
            )

    @property
    def is_silent(self) -> bool:
        """True if this edit changes no skip at any time: strength 0, or a mask that is 0 everywhere."""
        return self.strength == 0 or (self.mask is not None and not bool(self.mask.any()))

    @property
    def is_always_on(self) -> bool:
        """True if the edit acts at every sigma of a schedule."""
        return self.sigma_end <= 0.0 and math.isinf(self.sigma_start)

    def acts_at(self, sigma: float) -> bool:
        """True if the edit acts at this noise level."""
        return self.sigma_end <= sigma <= self.sigma_start


@dataclass(frozen=True, eq=False)
class PreparedEdit:
    """A SkipEdit made ready for one latent size on one device; `features[i]` is for output block i.

    `strength` is that of the edit as a tensor without dimensions, on the CPU: a compiled U-Net takes it as an
    input, where a number would be a part of the program.
    """

    edit: SkipEdit
    features: tuple[Tensor, ...] | None
    mask: Tensor | None
    strength: Tensor | None = None


def prepare_edit(
    edit: SkipEdit, height: int, width: int, like: Tensor, area: Area | None = None
) -> PreparedEdit:
    """Encode the hint for a latent of height x width, on the device and in the dtype of `like`.

    Hint and mask cover the whole latent; with an `area` only their part of it is kept. The costly part of a
    control; once per sampling run is enough, since nothing here depends on the step.
    """
    features, size = None, (height * PIXELS_PER_LATENT, width * PIXELS_PER_LATENT)
    if edit.tuners.kind == "csc" and edit.hint is not None:
        hints = _part(cover(edit.hint, *size), area)
        # one by one: the first convs run at full image size, and a batch of frames would not fit
        encoded = [edit.tuners.hint_encoder(hint[None].to(like.device, like.dtype)) for hint in hints]
        features = tuple(torch.cat(per_block) for per_block in zip(*encoded, strict=True))
    mask = None
    if edit.mask is not None:
        mask = _part(cover(edit.mask, *size), area).to(like.device, like.dtype)
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    return PreparedEdit(edit, features, mask, torch.tensor(edit.strength, dtype=exact, device="cpu"))


def _part(image: Tensor, area: Area | None) -> Tensor:
    if area is None:
        return image
    top, left, height, width = (PIXELS_PER_LATENT * side for side in area)
    return image[..., top : top + height, left : left + width]


def edit_skip(
    skip: Tensor, block: int, edits: Sequence[PreparedEdit], latents: Tensor | None = None
) -> Tensor:
    """The skip `(B, C, H, W)` of an output block after all edits; the same tensor if none touches it.

    SC-Tuners act one on the other's result, in order; CSC-Tuners all read the unedited skip and their deltas
    add up: `x + (u_K - x) + sum_c a_c (hint_c + T_c(x + hint_c))` (Eq. 5 and 7). `latents[b]` is the number
    of the latent in row b, which picks its hint and mask; None if every edit has one of each for all rows or
    for each row its own.
    """
    style, controls = skip, None
    for prepared in edits:
        tuners = prepared.edit.tuners
        if tuners.spec.place != "skip" or block not in tuners.spec.channels:
            continue
        if tuners.kind == "csc":
            delta = _weigh(prepared, _control_delta(tuners, prepared, block, skip, latents), latents)
            controls = delta if controls is None else controls + delta
        else:
            style = style + _weigh(prepared, tuners.delta(block, style), latents)
    return style if controls is None else style + controls


def edit_encoder(
    h: Tensor, block: int, edits: Sequence[PreparedEdit], latents: Tensor | None = None
) -> Tensor:
    """The output `(B, C, H, W)` of an input block after the edits of the encoder, one on the other's result.

    It goes on to the next input block as well as to the skip. `latents` as for edit_skip.
    """
    for prepared in edits:
        tuners = prepared.edit.tuners
        is_tuned = tuners.spec.place == "encoder" and block in tuners.spec.channels
        if is_tuned and tuners.kind == "sc":
            h = h + _weigh(prepared, tuners.delta(block, h), latents)
    return h


def _control_delta(
    tuners: CSCTunerSet, prepared: PreparedEdit, block: int, skip: Tensor, latents: Tensor | None
) -> Tensor:
    if prepared.features is None:
        raise SCEditError("a CSC-Tuner has to be prepared with its hint before it edits a skip")
    feature = _resized(prepared.features[block], skip, "bilinear")
    return tuners.delta(block, skip, _rows(feature, skip, latents))


def _weigh(prepared: PreparedEdit, delta: Tensor, latents: Tensor | None) -> Tensor:
    if prepared.mask is not None:
        delta = delta * _rows(_resized(prepared.mask, delta, "area"), delta, latents)
    if prepared.strength is not None:
        return delta * prepared.strength
    return delta if prepared.edit.strength == 1 else delta * prepared.edit.strength


def _resized(x: Tensor, skip: Tensor, mode: str) -> Tensor:
    """`x` at the size of `skip`, which odd latents and Deep Shrink make other than the encoder's."""
    return x if x.shape[-2:] == skip.shape[-2:] else F.interpolate(x, size=skip.shape[-2:], mode=mode)


def _rows(x: Tensor, batch: Tensor, latents: Tensor | None) -> Tensor:
    """`x` for every row of the batch: one for all, or each latent its own, repeated if there are fewer."""
    if x.shape[0] == 1 or (latents is None and x.shape[0] == batch.shape[0]):
        return x
    if latents is None:
        raise SCEditError(
            f"{x.shape[0]} hints or masks were given, but not which latent each row of the batch is"
        )
    return cycled(x, latents)
