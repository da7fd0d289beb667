"""Tuners in the care of ComfyUI's memory management."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from torch import Tensor

from ..scedit_core import Checkpoint, CSCTunerSet, SCTunerSet, TunerSpec, fill_tuners, read_tuners

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


@dataclass(frozen=True, eq=False)
class HostedTuners:
    """Tuners held by a ModelPatcher, so that ComfyUI loads and offloads their weights.

    `metadata` is what their file says of them, or will say once they are saved.
    """

    name: str
    patcher: ModelPatcher
    metadata: Mapping[str, str] = field(default_factory=dict)


def host_tuners(
    name: str, spec: TunerSpec, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> HostedTuners:
    """Tuners of these sizes and weights, in the dtype of the weights, as the sockets carry them.

    The weights are taken over: those of a memory-mapped file stay there until ComfyUI loads them.
    """
    return _host(name, fill_tuners(spec, state_dict, operations=comfy.ops.manual_cast), metadata)


def read_hosted(name: str, path: Path) -> tuple[Checkpoint, HostedTuners]:
    """A tuner file or published folder and its tuners. Raises SCEditError, in one sentence."""
    checkpoint, tuners = read_tuners(path, comfy.ops.manual_cast)
    return checkpoint, _host(name, tuners, checkpoint.metadata)


def in_place(patcher: ModelPatcher) -> ModelPatcher:
    """Tuners whose weights stay where they are between forward and backward.

    Newer hosts can page them out and in; then a copy is made that the host loads as a whole.
    """
    if not patcher.is_dynamic():
        return patcher
    with torch.inference_mode(False):  # what is made in inference mode cannot be differentiated through
        state_dict = {key: value.to("cpu", copy=True) for key, value in patcher.model.state_dict().items()}
        tuners = fill_tuners(patcher.model.spec, state_dict, operations=comfy.ops.manual_cast)
    tuners.requires_grad_(False)
    return comfy.model_patcher.ModelPatcher(tuners, patcher.load_device, patcher.offload_device)


def _host(name: str, tuners: SCTunerSet | CSCTunerSet, metadata: Mapping[str, str]) -> HostedTuners:
    # looked up now, not imported by name: ComfyUI rebinds it at start when weights are loaded dynamically
    patcher = comfy.model_patcher.CoreModelPatcher(
        tuners,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    tuners.requires_grad_(False)  # a training on top of them records nothing of theirs
    return HostedTuners(name, patcher, metadata)
