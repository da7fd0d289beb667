"""Models of full size with random weights in a real ComfyUI, for the benchmarks beside this file.

Without a card, and where a test has started ComfyUI already, it is imported as `--cpu` starts it; with
`--device cuda` it is started as its main.py does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from host_start import chosen_device, find_comfyui, start

REPOSITORY = Path(__file__).resolve().parents[1]
find_comfyui()
if "comfy.model_management" not in sys.modules:
    if chosen_device(sys.argv[1:]) == "cuda":
        start("cuda")
    else:
        import comfy.cli_args

        comfy.cli_args.args.cpu = True

import comfy.cldm.cldm
import comfy.controlnet
import comfy.memory_management
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch
from torch import Tensor, nn

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

UNETS = {"sd15": UNET_SD15, "sd21": UNET_SD21, "sdxl": UNET_SDXL}

SKIPS_SD15 = (1280,) * 5 + (640,) * 3 + (320,) * 4

_POOL = 4_194_301  # prime, so that what is cut from one pool of numbers has no pattern


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


def randomize(module: nn.Module) -> None:
    """Small random weights; ComfyUI's layers start uninitialised."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.02)


def random_state(
    shapes: Mapping[str, Sequence[int]], dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Tensor]:
    """Weights under which a signal keeps its size: norms of 1, small biases, layers scaled by their inputs.

    All are cut from one pool of numbers, since drawing those of SDXL takes a CPU a minute.
    """
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(seed)).to(dtype)
    state, begin = {}, 0
    for key, shape in sorted(shapes.items()):
        size = torch.Size(shape)
        if len(size) < 2 and key.endswith("weight"):
            state[key] = torch.ones(size, dtype=dtype)
            continue
        end = begin + size.numel()
        numbers = pool if end <= _POOL else pool.repeat(-(-end // _POOL))
        scale = size[1:].numel() ** -0.5 if len(size) > 1 else 0.02
        state[key] = (numbers[begin:end] * scale).reshape(size)
        begin = end % _POOL
    return state


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a module's weights, those of layers that have none yet included."""
    shapes = {key: tuple(weights.shape) for key, weights in module.state_dict().items()}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and layer.weight is None:
            shapes[f"{name}.weight"] = (layer.out_features, layer.in_features)
            if getattr(layer, "comfy_need_lazy_init_bias", False):
                shapes[f"{name}.bias"] = (layer.out_features,)
        if isinstance(layer, nn.Embedding) and layer.weight is None:
            shapes[f"{name}.weight"] = (layer.num_embeddings, layer.embedding_dim)
    return shapes


def fill(module: nn.Module, dtype: torch.dtype, seed: int = 0) -> None:
    """Random weights for a module, given as a file's would be."""
    module.load_state_dict(random_state(shapes_of(module), dtype, seed), assign=True)
    module.requires_grad_(False)


def moved(module: nn.Module, place: torch.device) -> nn.Module:
    """A module with its weights on another device; unlike `to`, for tensors without data too."""
    state = {key: weights.to(place) for key, weights in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    return module


def device() -> torch.device:
    """Where ComfyUI computes."""
    return comfy.model_management.get_torch_device()


def held(module: nn.Module, *, disable_dynamic: bool = False) -> Any:
    """A module in the care of a ModelPatcher of the kind that ComfyUI uses."""
    kinds = comfy.model_patcher
    kind = kinds.ModelPatcher if disable_dynamic else kinds.CoreModelPatcher
    return kind(module, load_device=device(), offload_device=comfy.model_management.unet_offload_device())


def shrunk(unet: Mapping[str, Any]) -> dict[str, Any]:
    """The same U-Net a tenth as wide, to see on a CPU that things run; it has as many blocks."""
    tenth = {**unet, "model_channels": unet["model_channels"] // 10, "context_dim": unet["context_dim"] // 16}
    depths = ("transformer_depth", "transformer_depth_output")
    tenth |= {key: [min(depth, 1) for depth in unet[key]] for key in depths} | {"transformer_depth_middle": 1}
    return tenth | ({"num_head_channels": 8} if "num_head_channels" in unet else {})


def smallest(unet: Mapping[str, Any]) -> dict[str, Any]:
    """A U-Net of the family a tenth as wide with four skips in two levels."""
    few = {"num_res_blocks": [1, 1], "channel_mult": [1, 2], "transformer_depth": [0, 1]}
    return {**shrunk(unet), **few, "transformer_depth_output": [0, 0, 1, 1]}


def sd15_model() -> Any:
    """A MODEL with a U-Net of SD 1.5's size."""
    return unet_model(UNET_SD15, torch.float32)


def unet_model(
    unet: Mapping[str, Any], dtype: torch.dtype, seed: int = 0, *, disable_dynamic: bool = False
) -> Any:
    """A MODEL with a U-Net of this size, its weights random, as ComfyUI makes one from a file."""
    families = comfy.supported_models
    wide = bool(unet["adm_in_channels"])
    family = families.SDXL if wide else families.SD20 if "num_head_channels" in unet else families.SD15
    config = family(dict(unet))
    # the family's number of heads is that of its full size
    config.unet_config.update(unet, dtype=dtype)
    model = (comfy.model_base.SDXL if wide else comfy.model_base.BaseModel)(config)
    patcher = held(model, disable_dynamic=disable_dynamic)
    fill(model.diffusion_model, dtype, seed)
    # how ComfyUI has it made again without dynamic VRAM, which training asks for
    patcher.cached_patcher_init = (unet_model, (unet, dtype, seed))
    return patcher


def control_network(unet: Mapping[str, Any], dtype: torch.dtype) -> nn.Module:
    """A stock ControlNet for such a U-Net, its weights random."""
    config = {k: v for k, v in unet.items() if k not in ("out_channels", "transformer_depth_output")}
    if "num_head_channels" not in config:
        config["num_heads"] = 8
    network = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, dtype=dtype)
    fill(network, dtype, seed=1)
    return network


def controlnet(image: Tensor, unet: Mapping[str, Any] = UNET_SD15, dtype: torch.dtype = torch.float32) -> Any:
    """A stock ControlNet that sees an image (B, H, W, 3)."""
    network = control_network(unet, dtype)
    control = comfy.controlnet.ControlNet(network, load_device=device())
    return control.copy().set_cond_hint(image.movedim(-1, 1), 1.0, (0.0, 1.0))


def hosted(pack: ModuleType, spec: Any, seed: int = 0) -> Any:
    """Tuners of these sizes with random weights, as the pack's nodes hand them on."""
    shapes = shapes_of(pack.scedit_core.build_tuners(spec, device=torch.device("meta")))
    return pack.nodes.files.hosted.host_tuners("random", spec, random_state(shapes, seed=seed), {})
