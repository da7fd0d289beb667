"""Captions as a MODEL's network reads them."""

from __future__ import annotations

from typing import Any

import comfy.sampler_helpers
import comfy.samplers
import torch

from ...scedit_core.training.recent import Recent

# captions whose conditions are kept on the device: each takes 0.2 MB for SD 1.5, 0.6 MB for SDXL
_MOST_CONDS = 512


class Captions:
    """What a model reads beside the latent, made by the host of an entry of a CONDITIONING.

    It is kept for the captions used last.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._conds: Recent[tuple[Any, ...], tuple[Any, dict[str, Any]]] = Recent(_MOST_CONDS)

    def prepared(self, caption: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        """What is read with a latent of this shape `(C, h, w)`, as `comfy.samplers.cond_cat` takes it."""

        def prepare() -> tuple[Any, dict[str, Any]]:
            latent = torch.zeros(1, *shape, device=self._device)
            conds = {"positive": comfy.sampler_helpers.convert_cond([caption])}
            processed = comfy.samplers.process_conds(
                self._model, latent, conds, self._device, latent_image=latent
            )
            made = processed["positive"][0]["model_conds"]
            # the caption is kept beside its result, so that its id is not used again
            return caption, {
                name: value.process_cond(batch_size=1, area=None) for name, value in made.items()
            }

        return self._conds.get((id(caption), shape), prepare)[1]
