"""Models of full size with random weights in a real ComfyUI, for the benchmarks beside this file."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_COMFYUI = os.environ.get("COMFYUI_PATH")
if not _COMFYUI:
    raise SystemExit("COMFYUI_PATH is not set; run benchmarks with 'python dev.py bench NAME'")
sys.path.insert(0, _COMFYUI)

import comfy.cli_args

comfy.cli_args.args.cpu = True

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import torch

CPU = torch.device("cpu")

UNET_SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "transformer_depth_middle": 1,
    "use_spatial_transformer": True, "legacy": False, "context_dim": 768, "use_linear_in_transformer": False,
    "use_temporal_attention": False, "adm_in_channels": None,
}  # fmt: skip

UNET_SD21 = {
    **UNET_SD15,
    "context_dim": 1024, "use_linear_in_transformer": True, "num_head_channels": 64,
}  # fmt: skip
UNET_SDXL = {
    **UNET_SD21,
    "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "transformer_depth_middle": 10,
    "context_dim": 2048, "adm_in_channels": 2816, "num_classes": "sequential",
}  # fmt: skip

SKIPS_SD15 = (1280,) * 5 + (640,) * 3 + (320,) * 4


def load_pack() -> ModuleType:
    """The pack, imported as ComfyUI imports packs."""
    spec = importlib.util.spec_from_file_location(
        "scedit_pack", REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no pack in {REPOSITORY}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["scedit_pack"] = module
    spec.loader.exec_module(module)
    return module


def randomize(module: torch.nn.Module) -> None:
    """Small random weights; ComfyUI's layers start uninitialised."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.02)


def host(module: torch.nn.Module) -> Any:
    """A module with random weights, held by a ModelPatcher."""
    randomize(module)
    return comfy.model_patcher.CoreModelPatcher(module, CPU, CPU)


def sd15_model() -> Any:
    """A MODEL with a U-Net of SD 1.5's size."""
    return unet_model(UNET_SD15, torch.float32)


def unet_model(unet: dict[str, Any], dtype: torch.dtype) -> Any:
    """A MODEL with a U-Net of this size, its weights random."""
    config = comfy.supported_models.SD15(dict(unet))
    config.unet_config["dtype"] = dtype
    return host(comfy.model_base.BaseModel(config, device=CPU))


def controlnet(image: torch.Tensor) -> Any:
    """A stock ControlNet of SD 1.5's size that sees an image (B, H, W, 3)."""
    config = {k: v for k, v in UNET_SD15.items() if k not in ("out_channels", "transformer_depth_output")}
    network = comfy.cldm.cldm.ControlNet(
        **config, num_heads=8, hint_channels=3, dtype=torch.float32, operations=comfy.ops.manual_cast
    )
    randomize(network)
    control = comfy.controlnet.ControlNet(network, load_device=CPU, manual_cast_dtype=torch.float32)
    return control.copy().set_cond_hint(image.movedim(-1, 1), 1.0, (0.0, 1.0))
