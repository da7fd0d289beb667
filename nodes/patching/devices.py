"""Several devices: each computes with tuners of its own, which the host loads there.

The host makes a clone of the MODEL for each device and samples parts of a batch with them at once, but by the
patches of the MODEL that it was given, which it moves to the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy.patcher_extension import CallbacksMP

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_MADE_FOR_A_DEVICE = ("ON_DEEPCLONE_MULTIGPU", "ON_MATCH_MULTIGPU_CLONES")  # of newer hosts
_KEY = "scedit_devices"


def follow_devices(model: ModelPatcher) -> None:
    """Give each clone that the host makes of a MODEL for another device patches of that device."""
    for name in _MADE_FOR_A_DEVICE:
        if hasattr(CallbacksMP, name):
            model.add_callback_with_key(getattr(CallbacksMP, name), _KEY, _take_along)


def _take_along(_model: ModelPatcher, clone: ModelPatcher) -> None:
    for patches in clone.model_options["transformer_options"].get("patches", {}).values():
        patches[:] = [_on_device(patch, clone.load_device) for patch in patches]


def _on_device(patch: Any, device: torch.device) -> Any:
    return patch.on_device(device) if hasattr(patch, "on_device") else patch
