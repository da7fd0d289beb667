"""A CUDA device without one: tensors that have shapes, dtypes and a device but no numbers.

Mixing devices raises as on a card, and what a step reads back from the device is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.supported_models_base
import torch
from comfy.ldm.modules.attention import attention_pytorch
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

    def __init__(self, number: float = 1.0) -> None:
        super().__init__()
        self.number = number
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        kwargs = kwargs or {}
        if args and isinstance(args[0], Tensor) and args[0].device.type == "cuda":
            if name in ("item", "_local_scalar_dense"):
                self.count += 1
                return self.number
            target = kwargs.get("device") if name == "_to_copy" else None
            self.count += (target is not None and torch.device(target).type == "cpu") or name in _DYNAMIC
        return func(*args, **kwargs)


_DYNAMIC = ("nonzero", "masked_select", "equal", "unique", "_unique2")  # their shape is known on the device


@contextmanager
def imagined() -> Iterator[None]:
    """Tensors made inside have no numbers; those made outside are taken for such."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.random.fork_rng(devices=[]):
        yield


def imagined_model(name: str, dtype: torch.dtype, compute: torch.dtype | None = None) -> Any:
    """A MODEL on the imagined card with weights in a dtype, computing in another if one is given."""

    class Config(comfy.supported_models_base.BASE):
        unet_config = {}  # noqa: RUF012 - the host reads a plain class attribute
        unet_extra_config = {}  # noqa: RUF012
        latent_format = comfy.latent_formats.SD15

    config = Config({**UNETS[name], "dtype": dtype})
    config.set_inference_dtype(dtype, compute)
    kind = comfy.model_base.SDXL if name == "SDXL" else comfy.model_base.BaseModel
    model = kind(config, device=CUDA)
    with unset_fake_temporarily():  # its noise levels are looked up when an edit is applied
        model.model_sampling = comfy.model_base.model_sampling(config, comfy.model_base.ModelType.EPS)
    return comfy.model_patcher.ModelPatcher(model, CUDA, CPU)


def hosted(pack: Any, spec: Any, dtype: torch.dtype, device: torch.device = CUDA, name: str = "any") -> Any:
    """Tuners of these sizes in a dtype, as the sockets carry them; on the CPU they are offloaded."""
    tuners = pack.scedit_core.build_tuners(spec, operations=comfy.ops.manual_cast, device=device, dtype=dtype)
    patcher = comfy.model_patcher.ModelPatcher(tuners.requires_grad_(False), CUDA, CPU)
    return pack.nodes.hosting.HostedTuners(name, patcher)


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
    with torch.inference_mode():
        return model.model.apply_model(x, torch.cat([sigmas] * 2), **conds, transformer_options=given)


def _attention(_chosen: Any, *args: Any, **kwargs: Any) -> Tensor:
    """ComfyUI chose for a CPU when it started; on a card it is this one."""
    return attention_pytorch(*args, **kwargs)
