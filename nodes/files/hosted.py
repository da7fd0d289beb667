"""Tuners in the care of ComfyUI's memory management."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.cli_args
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from torch import Tensor

from ...scedit_core import Checkpoint, CSCTunerSet, SCTunerSet, TunerSpec, fill_tuners, read_tuners
from ...scedit_core.files.stamps import Stamp
from ...scedit_core.tuner import channels_mixed

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_FILE_KIND = "scedit_mapped_file"
_DEVICES = "scedit_devices"
_NAME = "scedit_name"


class CastingLayers:
    """Layers of tuners whose weights ComfyUI brings to the device and the dtype of what they are used on."""

    class Linear(comfy.ops.manual_cast.Linear):
        """A linear layer over channels of `(B, C, H, W)`."""

        def forward_comfy_cast_weights(self, input: Tensor, plus: Tensor | None = None) -> Tensor:
            """`W x + b`, or `W x + plus`; see `channels_mixed`."""
            weight, bias, stream = comfy.ops.cast_bias_weight(self, input, offloadable=True)
            mixed = channels_mixed(input, weight, bias, plus)
            comfy.ops.uncast_bias_weight(self, weight, bias, stream)
            return mixed

    Conv2d = comfy.ops.manual_cast.Conv2d


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
    return _host(name, fill_tuners(spec, state_dict, operations=CastingLayers), metadata)


def read_hosted(name: str, path: Path) -> tuple[Checkpoint, HostedTuners]:
    """A tuner file or published folder and its tuners. Raises SCEditError, in one sentence.

    The weights stay in the file, unless ComfyUI was started with --disable-mmap: then they are copied.
    """
    mapped = not comfy.cli_args.args.disable_mmap
    with _ordinary_weights():
        checkpoint, tuners = read_tuners(path, CastingLayers, mapped=mapped)
    hosted = _host(name, tuners, checkpoint.metadata)
    if mapped:
        hosted.patcher.set_model_patch(_MappedFile(Stamp.of(checkpoint.path)), _FILE_KIND)
    return checkpoint, hosted


@contextmanager
def _ordinary_weights() -> Iterator[None]:
    """Within, what is made are weights like any others, though nodes are executed in inference mode.

    Weights that are born in it break, wherever they are used, once something outside of it moves them to
    another device: the host does so where a run ends, and where others load models by themselves.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


class _MappedFile:
    """Has the host look, before each loading of the weights, whether the file they lie in is still the same.

    The host moves what it finds among a model's patches to the model's device and then to its dtype before it
    loads the weights, by `to`, and to a device alone when it unloads them, which must not fail. Nothing else
    is ever done with this kind of patch.
    """

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp

    def to(self, device_or_dtype: Any) -> _MappedFile:
        """Raise SCEditError if weights are about to be loaded and their file was written over in place."""
        if not isinstance(device_or_dtype, torch.device):
            self._stamp.check()
        return self


def name_of(patcher: ModelPatcher) -> str:
    """The name of the file whose tuners a patcher holds, or of their training."""
    return patcher.attachments.get(_NAME, "")


def in_place(patcher: ModelPatcher) -> ModelPatcher:
    """Tuners whose weights stay where they are between forward and backward.

    Newer hosts can page them out and in; then a copy is made that the host loads as a whole.
    """
    if not patcher.is_dynamic():
        return patcher
    with _ordinary_weights():  # what is made in inference mode cannot be differentiated through
        state_dict = {key: value.to("cpu", copy=True) for key, value in patcher.model.state_dict().items()}
        tuners = fill_tuners(patcher.model.spec, state_dict, operations=CastingLayers)
    tuners.requires_grad_(False)
    return comfy.model_patcher.ModelPatcher(tuners, patcher.load_device, patcher.offload_device)


def tuners_on(patcher: ModelPatcher, device: torch.device) -> ModelPatcher:
    """The tuners of a patcher for a MODEL on this device: itself, or a copy that lives as long as it does."""
    if patcher.load_device == device:
        return patcher
    copies = patcher.attachments.setdefault(_DEVICES, {})
    if device not in copies:
        with _ordinary_weights():
            state_dict = {key: value.to("cpu") for key, value in patcher.model.state_dict().items()}
            tuners = fill_tuners(patcher.model.spec, state_dict, operations=CastingLayers)
        tuners.requires_grad_(False)
        copy = comfy.model_patcher.CoreModelPatcher(tuners, device, patcher.offload_device)
        copy.model_options = comfy.utils.deepcopy_list_dict(patcher.model_options)  # looks after the file
        copy.attachments[_NAME] = name_of(patcher)
        copies[device] = copy
    return copies[device]


def _host(name: str, tuners: SCTunerSet | CSCTunerSet, metadata: Mapping[str, str]) -> HostedTuners:
    # looked up now, not imported by name: ComfyUI rebinds it at start when weights are loaded dynamically
    patcher = comfy.model_patcher.CoreModelPatcher(
        tuners,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    patcher.attachments[_NAME] = name
    tuners.requires_grad_(False)  # a training on top of them records nothing of theirs
    return HostedTuners(name, patcher, metadata)
