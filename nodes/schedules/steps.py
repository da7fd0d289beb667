"""Where in the denoising the steps of a sampling fall."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import numpy as np

from ...scedit_core import SCEditError

_PLACES = (
    999  # of the denoising at which a model is asked for its noise level: one for each it was trained on
)


def places_of_steps(model: Any, scheduler: str, steps: int) -> list[float]:
    """Parts of the denoising 0..1 at which the model is called, in order; those of `percent_to_sigma`.

    Raises SCEditError where the scheduler gives no noise levels for so many steps.
    """
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, steps)[:-1].double().cpu().numpy()
    if len(sigmas) == 0 or not np.isfinite(sigmas).all():
        raise SCEditError(
            f"the scheduler '{scheduler}' gives no noise levels for {steps} steps with this model; choose "
            "another number of steps, or another scheduler"
        )
    places = np.arange(1, _PLACES) / _PLACES
    levels = np.array([float(sampling.percent_to_sigma(place)) for place in places])
    # noise falls from place to place; beyond what lies between the first and the last, places are 0 and 1
    found = np.interp(-_log(sigmas), -_log(levels), places, left=0.0, right=1.0)
    return np.sort(found).tolist()


def _log(sigmas: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(sigmas, 1e-12))
