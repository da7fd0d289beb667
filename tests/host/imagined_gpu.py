"""A CUDA device without one: tensors that have shapes, dtypes and a device but no numbers.

Mixing devices raises as on a card, and what a step reads back from the device is counted.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import comfy.latent_formats
import comfy.memory_management
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.supported_models_base
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import CallbacksMP
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")

_SHARED = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320,
    "use_spatial_transformer": True, "legacy": False, "use_temporal_attention": False,
    "adm_in_channels": None,
}  # fmt: skip
_SD = {
    "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "transformer_depth_middle": 1,
}  # fmt: skip
# ComfyUI's own configurations; SDXL with one transformer a level, since its ten are alike.
UNETS: dict[str, dict[str, Any]] = {
    "SD 1.5": {
        **_SHARED, **_SD, "context_dim": 768, "use_linear_in_transformer": False, "num_heads": 8,
        "num_head_channels": -1,
    },
    "SD 2.1": {
        **_SHARED, **_SD, "context_dim": 1024, "use_linear_in_transformer": True, "num_head_channels": 64,
    },
    "SDXL": {
        **_SHARED, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 1, 1, 1, 1], "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1],
        "transformer_depth_middle": 1, "context_dim": 2048, "use_linear_in_transformer": True,
        "num_head_channels": 64, "adm_in_channels": 2816, "num_classes": "sequential",
    },
}  # fmt: skip


class Reads(TorchDispatchMode):
    """Counts what is read back from the device; a number read is the one given, a tensor arrives empty.

    Used inside of an imagined device, so that it sees each operation first.
    """

    def __init__(self, device: torch.device = CUDA) -> None:
        super().__init__()
        self.number = 1.0
        self.where: list[str] = []
        self._device = device.type

    @property
    def count(self) -> int:
        """How often something was read."""
        return len(self.where)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if _devices(args[:1]) == [self._device]:
            if name in ("item", "_local_scalar_dense"):
                self._note(name)
                return self.number
            if name in _DYNAMIC or (name in ("to", "_to_copy") and self._leaves(args, kwargs)):
                self._note(name)
        if name == "copy_" and _devices(args[:2]) == ["cpu", self._device]:
            self._note(name)
        return func(*args, **kwargs)

    def _leaves(self, args: Any, kwargs: Any) -> bool:
        """True if a copy is asked for on another device than the one watched, and waited for."""
        if kwargs.get("non_blocking"):  # PyTorch takes pinned memory for it
            return False
        given = [kwargs.get("device"), *args[1:]]
        device = next((torch.device(one) for one in given if isinstance(one, (torch.device, str))), None)
        return device is not None and device.type != self._device

    def _note(self, name: str) -> None:
        calls = (f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_stack())
        self.where.append(f"{name} at {[call for call in calls if 'site-packages' not in call][-4:-2]}")


def _devices(args: Any) -> list[str]:
    return [arg.device.type for arg in args if isinstance(arg, Tensor)]


_DYNAMIC = ("nonzero", "masked_select", "equal", "unique", "_unique2")  # their shape is known on the device


@contextmanager
def imagined() -> Iterator[None]:
    """Tensors made inside have no numbers; those made outside are taken for such."""
    with pytest.MonkeyPatch.context() as patch:
        # PyTorch switches mixed precision off where there is no card
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
        patch.setattr(comfy.memory_management, "aimdo_enabled", False)  # layers have weights at once
        with FakeTensorMode(allow_non_fake_inputs=True), torch.random.fork_rng(devices=[]):
            yield


def imagined_model(
    name: str, dtype: torch.dtype, compute: torch.dtype | None = None, device: torch.device = CUDA
) -> Any:
    """A MODEL on the imagined card with weights in a dtype, computing in another if one is given."""

    class Config(comfy.supported_models_base.BASE):
        unet_config = {}  # noqa: RUF012 - the host reads a plain class attribute
        unet_extra_config = {}  # noqa: RUF012
        latent_format = comfy.latent_formats.SD15

    config = Config({**UNETS[name], "dtype": dtype})
    config.set_inference_dtype(dtype, compute)
    kind = comfy.model_base.SDXL if name == "SDXL" else comfy.model_base.BaseModel
    model = kind(config, device=device)
    model.model_sampling.to(device)
    return comfy.model_patcher.ModelPatcher(model, device, CPU)


@contextmanager
def with_numbers(model: Any) -> Iterator[None]:
    """Out of the imagined device, where the noise levels of a MODEL can be looked up."""
    base = model.model
    imagined_levels = base.model_sampling
    with unset_fake_temporarily():
        base.model_sampling = comfy.model_base.model_sampling(
            base.model_config, comfy.model_base.ModelType.EPS
        )
        try:
            yield
        finally:
            base.model_sampling = imagined_levels


def hosted(pack: Any, spec: Any, dtype: torch.dtype, device: torch.device = CUDA, name: str = "any") -> Any:
    """Tuners of these sizes in a dtype, as the sockets carry them; on the CPU they are offloaded."""
    layers = pack.nodes.files.hosted.CastingLayers
    tuners = pack.scedit_core.build_tuners(spec, operations=layers, device=device, dtype=dtype)
    patcher = comfy.model_patcher.ModelPatcher(tuners.requires_grad_(False), CUDA, CPU)
    return pack.nodes.files.hosted.HostedTuners(name, patcher)


def predict(model: Any, latents: int = 1, **options: Any) -> Tensor:
    """One evaluation for cond and uncond, as the host's samplers ask for it, wrappers and all."""
    unet = model.model.model_config.unet_config
    rows = 2 * latents
    sigmas = torch.ones(latents, device=CUDA)
    given = {
        **model.model_options["transformer_options"], "cond_or_uncond": [1, 0], "sigmas": sigmas,
        "wrappers": model.wrappers, "optimized_attention_override": _attention, **options,
    }  # fmt: skip
    conds = {"c_crossattn": torch.zeros(rows, 77, unet["context_dim"], device=CUDA)}
    if unet["adm_in_channels"]:
        conds["y"] = torch.zeros(rows, unet["adm_in_channels"], device=CUDA)
    x = torch.zeros(rows, 4, 64, 64, device=CUDA)
    _begin(model)
    with torch.inference_mode():
        return model.model.apply_model(x, torch.cat([sigmas] * 2), **conds, transformer_options=given)


def _begin(model: Any) -> None:
    """Begin a run, in which noise levels may be looked up; afterwards they have no numbers any more."""
    levels = model.model.model_sampling
    with unset_fake_temporarily():
        numbers = comfy.model_base.model_sampling(model.model.model_config, comfy.model_base.ModelType.EPS)
    with patch.object(levels, "percent_to_sigma", numbers.percent_to_sigma), unset_fake_temporarily():
        for callback in model.get_all_callbacks(CallbacksMP.ON_PRE_RUN):
            callback(model)


def _attention(_chosen: Any, *args: Any, **kwargs: Any) -> Tensor:
    """ComfyUI chose for a CPU when it started; on a card it is this one."""
    return attention_pytorch(*args, **kwargs)
