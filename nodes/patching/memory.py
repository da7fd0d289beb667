"""Memory that a run of edits takes, told to the host before it decides which models have to make room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from comfy.controlnet import ControlBase

from ...scedit_core import SkipEdit
from ...scedit_core.tuner import tuners_in

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class RunMemory(ControlBase):
    """Stands among a run's controls, which is where the host asks how much memory they will take."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def inference_memory_requirements(self, dtype: torch.dtype) -> int:
        """Bytes of it."""
        return self._size

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> Any:
        """Nothing to clone: it has neither weights nor residuals."""
        return self


def feature_bytes(
    edits: Iterable[SkipEdit], shape: Sequence[int], dtype: torch.dtype, options: Mapping[str, Any]
) -> int:
    """Bytes of the features that are held at once for latents of this shape; equal hints are held once."""
    handler = options.get("context_handler")
    latents = shape[0]
    if handler is not None and handler.dim == 0:
        # a causal window has one latent more, in front of it
        latents = min(latents, handler.context_length) + 1
    sizes = {
        (edit.tuners, id(edit.hint)): min(len(edit.hint), latents) * edit.tuners.numbers_of_hint(*shape[-2:])
        for edit in edits
        if edit.hint is not None and edit.tuners.kind == "csc"
    }
    return sum(sizes.values()) * dtype.itemsize


def weight_bytes(patchers: Iterable[ModelPatcher], dtype: torch.dtype) -> int:
    """Bytes of the weights that a run holds in the dtype of the U-Net, beside those that the host holds."""
    weights = (
        each
        for patcher in patchers
        for part in tuners_in(patcher.model).values()
        for each in part.parameters()
        if each.dtype != dtype or patcher.is_dynamic()
    )
    return sum(each.numel() for each in weights) * dtype.itemsize
