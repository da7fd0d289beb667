"""Edits of skip connections: which tuners act, how strongly, when and where, and what they make of a skip."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from .control import CSCTunerSet
from .errors import SCEditError
from .hint import PIXELS_PER_LATENT, cover, cycled
from .strength import Factors, Rows
from .tuner import SCTunerSet

Area = tuple[int, int, int, int]  # top, left, height and width of a part of a latent


@dataclass(frozen=True, eq=False)
class SkipEdit:
    """A tuner set and how strongly, when, where and for which latent it acts.

    `hint` `(N, 3, H, W)`, values 0..1, is what a CSCTunerSet sees and is None for an SCTunerSet. `mask` `(M,
    1, H, W)` is 1 where the edit acts. Latent k of a batch takes hint k mod N and mask k mod M. The edit acts
    while `sigma_end <= sigma <= sigma_start`, and `factors` are multiplied with its strength. Where a part of
    the picture is computed by itself, an edit that `is_whole` sees its part of hint and mask; others have
    them for that part alone. Raises SCEditError for a strength beyond 10,000 or NaN.
    """

    tuners: SCTunerSet | CSCTunerSet
    strength: float = 1.0
    hint: Tensor | None = None
    mask: Tensor | None = None
    sigma_start: float = math.inf
    sigma_end: float = 0.0
    is_whole: bool = True
    factors: Factors = field(default_factory=Factors)

    def __post_init__(self) -> None:
        if not abs(self.strength) <= 10_000:  # half precision ends at 65,504; NaN is no number at all
            raise SCEditError(
                f"strength must be a number from -10000 to 10000, got {self.strength}; 1 is the trained "
                "strength"
            )
        if (self.tuners.kind == "csc") != (self.hint is not None):
            raise SCEditError(
                "a CSC-Tuner needs a hint image and an SC-Tuner takes none; got "
                f"{type(self.tuners).__name__} with{'' if self.hint is not None else 'out'} a hint"
            )

    @property
    def is_silent(self) -> bool:
        """True if it changes no skip at any time: strength or a factor 0, or a mask that is 0 everywhere."""
        is_masked = self.mask is not None and not bool(self.mask.any())
        return (
            self.strength == 0
            or is_masked
            or self.factors.is_zero
            or not any(map(self.acts_on, self._blocks))
        )

    @property
    def is_always_on(self) -> bool:
        """True if the edit acts at every sigma of a schedule, and always as strongly."""
        return self.sigma_end <= 0.0 and math.isinf(self.sigma_start) and not self.factors.levels

    def acts_at(self, sigma: float) -> bool:
        """True if the edit acts at this noise level."""
        return self.sigma_end <= sigma <= self.sigma_start and self.factors.at(sigma) != 0

    def acts_on(self, block: int) -> bool:
        """True if the edit has a tuner for this block, and is not switched off there."""
        return block in self._blocks and self.factors.blocks.get(block, 1.0) != 0

    def strengths(self, sigma: float, rows: Rows | None = None) -> tuple[tuple[float, ...], ...]:
        """Strength at a noise level, by output block and by row; one block and one row stand for all.

        Without `rows` latents and prompts are taken as one.
        """
        by_row = tuple(self.factors.of_rows(rows)) if rows and self.factors.is_by_row else (1.0,)
        blocks = range(max(self._blocks) + 1) if self.factors.blocks else range(1)
        now = self.strength * self.factors.at(sigma)
        by_block = (self.factors.blocks.get(block, 1.0) for block in blocks)
        return tuple(tuple(now * of_block * of_row for of_row in by_row) for of_block in by_block)

    @property
    def _blocks(self) -> Collection[int]:
        return self.tuners.spec.channels


@dataclass(frozen=True, eq=False)
class PreparedEdit:
    """A SkipEdit made ready for one latent size on one device; `features[i]` is for output block i.

    Features are as the hint encoder gives them, or folded (see SCTuner.folded), which takes half the time
    while weights stay as they are. `rows[b]` is the number of the feature for row b, where features are not
    counted as latents are. `strengths` `(blocks, rows, 1, 1, 1)` are those of SkipEdit.strengths; without
    them the edit's own strength counts.
    """

    edit: SkipEdit
    features: tuple[Tensor | None, ...] | None
    mask: Tensor | None
    strengths: Tensor | None = None
    rows: Tensor | None = None
    is_folded: bool = False


def prepare_edit(
    edit: SkipEdit, height: int, width: int, like: Tensor, area: Area | None = None
) -> PreparedEdit:
    """Encode the hint for a latent of height x width, on the device and in the dtype of `like`.

    Hint and mask cover the whole latent; with an `area` only their part of it is kept. The costly part of a
    control; once per sampling run is enough, since nothing here depends on the step. Strengths are those
    without noise: at the end of the denoising.
    """
    features = None
    if edit.hint is not None:
        features = hint_features(edit.tuners, edit.hint, (height, width), like, area)
    mask = fitted_mask(edit, (height, width), like, area)
    return PreparedEdit(edit, features, mask, strengths_like(edit.strengths(0.0), like), is_folded=True)


def hint_features(
    tuners: SCTunerSet | CSCTunerSet,
    hints: Tensor,
    size: tuple[int, int],
    like: Tensor,
    area: Area | None = None,
) -> tuple[Tensor | None, ...]:
    """Folded features of hints `(N, 3, H, W)` for a latent of this size, or for an area of it, by block.

    Hints are encoded one by one: the first convs run at full image size, and a batch of frames would not fit.
    """
    if tuners.kind != "csc":
        return ()
    features: tuple[Tensor | None, ...] = ()
    for number, hint in enumerate(hints):
        picture = _part(cover(hint[None], *_pixels(size)), area).to(like.device, like.dtype)
        one = tuners.folded(tuners.hint_encoder(picture))
        if len(hints) == 1:
            return one
        if not features:
            features = tuple(
                each if each is None else each.new_empty(len(hints), *each.shape[1:]) for each in one
            )
        for every, each in zip(features, one, strict=True):
            if every is not None and each is not None:
                every[number] = each[0]
    return features


def fitted_mask(
    edit: SkipEdit, size: tuple[int, int], like: Tensor, area: Area | None = None
) -> Tensor | None:
    """The edit's masks `(M, 1, H, W)` for a latent of this size, or for an area of it; None without one."""
    if edit.mask is None:
        return None
    return _part(cover(edit.mask, *_pixels(size)), area).to(like.device, like.dtype)


def strengths_like(strengths: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    """Strengths by block and row as PreparedEdit takes them, on the device and in the dtype of `like`."""
    if len(strengths) == len(strengths[0]) == 1:
        return like.new_full((1, 1, 1, 1, 1), strengths[0][0])  # made there: nothing to send
    return like.new_tensor(strengths)[:, :, None, None, None]


def _pixels(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * PIXELS_PER_LATENT, size[1] * PIXELS_PER_LATENT


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
    acting = [each for each in edits if each.edit.tuners.spec.place == "skip" and each.edit.acts_on(block)]
    edited, total = skip, None
    for prepared in acting:
        if prepared.edit.tuners.kind == "sc":
            edited = _added(edited, prepared.edit.tuners.delta(block, edited), block, prepared, latents)
    for prepared in acting:
        if prepared.edit.tuners.kind != "csc":
            continue
        delta = _control_delta(prepared, block, skip, latents)
        # summed by themselves: whichever of two comes first, the bits are the same, and those of one alone if
        # the other has weight 0, as at the ends of a way from one to the other
        if total is None:
            total = torch.mul(delta, _weight(prepared, delta, block, latents), out=_place(delta, skip))
        else:
            total = _added(total, delta, block, prepared, latents)
    return edited if total is None else torch.add(edited, total, out=_place(total, edited))


def edit_encoder(
    h: Tensor, block: int, edits: Sequence[PreparedEdit], latents: Tensor | None = None
) -> Tensor:
    """The output `(B, C, H, W)` of an input block after the edits of the encoder, one on the other's result.

    It goes on to the next input block as well as to the skip. `latents` as for edit_skip.
    """
    for prepared in edits:
        tuners = prepared.edit.tuners
        is_tuned = tuners.spec.place == "encoder" and prepared.edit.acts_on(block)
        if is_tuned and tuners.kind == "sc":
            h = _added(h, tuners.delta(block, h), block, prepared, latents)
    return h


def _control_delta(prepared: PreparedEdit, block: int, skip: Tensor, latents: Tensor | None) -> Tensor:
    tuners = prepared.edit.tuners
    feature = None if prepared.features is None else prepared.features[block]
    if feature is None or tuners.kind != "csc":
        raise SCEditError("a CSC-Tuner has to be prepared with its hint before it edits a skip")
    numbers = latents if prepared.rows is None else prepared.rows
    feature = _of_rows(_resized(feature, skip, "bilinear"), skip, numbers)
    return (tuners.steered if prepared.is_folded else tuners.delta)(block, skip, feature)


def _added(x: Tensor, delta: Tensor, block: int, prepared: PreparedEdit, latents: Tensor | None) -> Tensor:
    """`x` and a tuner's delta times its strength and mask, in one pass over memory."""
    weight, place = _weight(prepared, delta, block, latents), _place(delta, x)
    if isinstance(weight, Tensor):
        return torch.addcmul(x, delta, weight, out=place)
    return torch.add(x, delta, alpha=weight, out=place)


def _place(made: Tensor, other: Tensor) -> Tensor | None:
    """Where a result of both goes, if nobody needs `made` any more: into its memory, unless backward may.

    New memory is what an edit of a large skip costs beside its matrices.
    """
    return None if torch.is_grad_enabled() or made.dtype != other.dtype else made


def _weight(prepared: PreparedEdit, delta: Tensor, block: int, latents: Tensor | None) -> Tensor | float:
    """Strength times mask for each row of a delta, `(rows, 1, H, W)` or broadcasting to it."""
    weight = prepared.edit.strength
    if prepared.strengths is not None:
        weight = prepared.strengths[block if len(prepared.strengths) > 1 else 0]
    if prepared.mask is None:
        return weight
    return weight * _of_rows(_resized(prepared.mask, delta, "area"), delta, latents)


def _resized(x: Tensor, skip: Tensor, mode: str) -> Tensor:
    """`x` at the size of `skip`, which odd latents and Deep Shrink make other than the encoder's."""
    return x if x.shape[-2:] == skip.shape[-2:] else F.interpolate(x, size=skip.shape[-2:], mode=mode)


def _of_rows(x: Tensor, batch: Tensor, latents: Tensor | None) -> Tensor:
    """`x` for every row of the batch: one for all, or each latent its own, repeated if there are fewer."""
    if x.shape[0] == 1 or (latents is None and x.shape[0] == batch.shape[0]):
        return x
    if latents is None:
        raise SCEditError(
            f"{x.shape[0]} hints or masks were given, but not which latent each row of the batch is"
        )
    return cycled(x, latents)
