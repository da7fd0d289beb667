"""What a user hands in with a tuner, and the edit of a MODEL's skips that it comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...scedit_core import SCEditError, SkipEdit, SkipLayout
from ...scedit_core.curve import Curve
from ...scedit_core.hint import to_hint, to_mask
from ...scedit_core.skip_weights import SkipWeights, soft_weights
from ...scedit_core.strength import Factors
from ..files.hosted import HostedTuners

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_PIECES = 32  # of a slope over the denoising, each of them straight over noise levels


@dataclass(frozen=True, eq=False)
class Condition:
    """A tuner set with what it sees and how it acts; `image` is None for a style.

    `schedules` go over the denoising, from 0 at its start to 1 at its end. `priority` is "balanced", "prompt"
    or "control", and `factors` have what is known without a MODEL.
    """

    hosted: HostedTuners
    image: Tensor | None = None
    weight: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    mask: Tensor | None = None
    schedules: tuple[Curve, ...] = ()
    factors: Factors = field(default_factory=Factors)
    skip_weights: SkipWeights | None = None
    priority: str = "balanced"

    def applied(self, model: ModelPatcher, strength: float, *, is_whole: bool = True) -> Applied:
        """The edit that it is on a MODEL. Raises SCEditError if its tuners were made for another one."""
        tuners = self.hosted.patcher.model
        layout = skip_layout(model)
        tuners.spec.check_fits(layout, self.hosted.name)
        edit = SkipEdit(
            tuners,
            strength * self.weight,
            hint=None if self.image is None else to_hint(self.image),
            mask=None if self.mask is None else to_mask(self.mask),
            is_whole=is_whole,
            factors=self._factors_on(len(layout.channels)),
        )
        when = When(self.start_percent, self.end_percent, self.schedules)
        return Applied(edit, self.hosted.patcher, when, model.get_model_object("model_sampling"))

    def _factors_on(self, skips: int) -> Factors:
        """All factors, on a MODEL of so many skips."""
        by_depth = [1.0] * skips if self.skip_weights is None else self.skip_weights.of_skips(skips)
        prompts = self.factors.prompts
        if self.priority != "balanced":
            by_depth = [weight * soft for weight, soft in zip(by_depth, soft_weights(skips), strict=True)]
        if self.priority == "control":
            prompts = (prompts[0], 0.0)
        if self.hosted.patcher.model.spec.place == "encoder":  # which counts its blocks from the shallowest
            by_depth = by_depth[::-1]
        blocks = {block: weight for block, weight in enumerate(by_depth) if weight != 1}
        return replace(self.factors, blocks=blocks, prompts=prompts)


@dataclass(frozen=True)
class When:
    """In which part of the denoising an edit acts, and how strongly; 0 is its start and 1 its end."""

    start_percent: float
    end_percent: float
    schedules: tuple[Curve, ...]

    def __post_init__(self) -> None:
        start_percent, end_percent = self.start_percent, self.end_percent
        if not 0 <= start_percent <= end_percent <= 1:
            raise SCEditError(
                f"start_percent and end_percent must lie in order between 0 and 1, got {start_percent} and "
                f"{end_percent}; 0 is the first step and 1 the last"
            )

    def at_levels_of(self, sampling: Any, edit: SkipEdit) -> SkipEdit:
        """The edit with the noise levels that a model's sampling has in these parts of the denoising."""
        start, end = self.start_percent, self.end_percent
        levels = tuple(_over_levels(sampling, curve) for curve in self.schedules)
        return replace(
            edit,
            # percents of 0 and 1 take in the first and last step
            sigma_start=sampling.percent_to_sigma(start) if start > 0 else math.inf,
            sigma_end=sampling.percent_to_sigma(end) if end < 1 else 0.0,
            factors=replace(edit.factors, levels=levels) if levels else edit.factors,
        )


def _over_levels(sampling: Any, schedule: Curve) -> Curve:
    """A schedule as a curve over noise levels, which fall as the denoising goes on."""
    points = [
        (float(sampling.percent_to_sigma(part) if part > 0 else sampling.sigma_max), factor)
        for part, factor in schedule.refined(_PIECES).points
    ]
    return Curve(tuple(reversed(points)))


class Applied:
    """An edit as a MODEL has it: its noise levels are those of the sampling with which a run begins.

    A node that changes the model's sampling may come after ours.
    """

    def __init__(self, edit: SkipEdit, patcher: ModelPatcher, when: When, sampling: Any) -> None:
        self.patcher = patcher
        self._edit, self._when, self._sampling = edit, when, sampling
        self._known: WeakKeyDictionary[Any, SkipEdit] = WeakKeyDictionary()

    def at(self, sampling: Any = None) -> SkipEdit:
        """The edit at the noise levels of a run; without one at those of the MODEL it was applied to."""
        sampling = self._sampling if sampling is None else sampling
        if sampling not in self._known:
            self._known[sampling] = self._when.at_levels_of(sampling, self._edit)
        return self._known[sampling]

    @property
    def hint(self) -> Tensor | None:
        """What its tuners see, `(N, 3, H, W)`; None for a style."""
        return self._edit.hint

    def with_hint_among(self, hints: Sequence[Tensor]) -> Applied:
        """The same edit, with the one of these hints that its own is equal to, if there is one."""
        own = self._edit.hint
        same = None if own is None else next((hint for hint in hints if _are_equal(hint, own)), None)
        if same is None:
            return self
        return Applied(replace(self._edit, hint=same), self.patcher, self._when, self._sampling)

    def held_by(self, patcher: ModelPatcher) -> Applied:
        """The same edit with its tuners in the care of another patcher."""
        return Applied(replace(self._edit, tuners=patcher.model), patcher, self._when, self._sampling)


def _are_equal(first: Tensor, second: Tensor) -> bool:
    return first is second or (first.device == second.device and torch.equal(first, second))


def skip_layout(model: ModelPatcher) -> SkipLayout:
    """Skips of a MODEL. Raises SCEditError for one that has none."""
    return SkipLayout.from_unet_config(model.model.model_config.unet_config)
