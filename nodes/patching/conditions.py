"""What a user hands in with a tuner, and the edit of a MODEL's skips that it comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ...scedit_core import SCEditError, SkipEdit, SkipLayout
from ...scedit_core.hint import to_hint, to_mask
from ..files.hosted import HostedTuners

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


@dataclass(frozen=True, eq=False)
class Condition:
    """A tuner set with what it sees and how it acts; `image` is None for a style."""

    hosted: HostedTuners
    image: Tensor | None = None
    weight: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    mask: Tensor | None = None

    def edit_of(self, model: ModelPatcher, strength: float, *, is_whole: bool = True) -> SkipEdit:
        """The edit that it is on a MODEL. Raises SCEditError if its tuners were made for another one."""
        tuners = self.hosted.patcher.model
        tuners.spec.check_fits(skip_layout(model), self.hosted.name)
        sigma_start, sigma_end = _sigma_window(model, self.start_percent, self.end_percent)
        return SkipEdit(
            tuners,
            strength * self.weight,
            hint=None if self.image is None else to_hint(self.image),
            mask=None if self.mask is None else to_mask(self.mask),
            sigma_start=sigma_start,
            sigma_end=sigma_end,
            is_whole=is_whole,
        )


def skip_layout(model: ModelPatcher) -> SkipLayout:
    """Skips of a MODEL. Raises SCEditError for one that has none."""
    return SkipLayout.from_unet_config(model.model.model_config.unet_config)


def _sigma_window(model: ModelPatcher, start_percent: float, end_percent: float) -> tuple[float, float]:
    """Noise levels between which an edit acts; percents of 0 and 1 take in the first and last step."""
    if not 0 <= start_percent <= end_percent <= 1:
        raise SCEditError(
            f"start_percent and end_percent must lie in order between 0 and 1, got {start_percent} and "
            f"{end_percent}; 0 is the first step and 1 the last"
        )
    sampling = model.get_model_object("model_sampling")
    return (
        sampling.percent_to_sigma(start_percent) if start_percent > 0 else math.inf,
        sampling.percent_to_sigma(end_percent) if end_percent < 1 else 0.0,
    )
