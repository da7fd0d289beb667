"""A LoRA and a ControlNet for the sandbox's model, with drawn weights, in a server's folders."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from support import REPOSITORY, load_module

LORA, CONTROLNET = "drawn_lora.safetensors", "drawn_controlnet.safetensors"
_LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"


def write_lora(models: Path) -> None:
    """A LoRA of one layer."""
    draw = torch.Generator().manual_seed(0)
    up, down = torch.randn(128, 4, generator=draw), torch.randn(4, 128, generator=draw)
    (models / "loras").mkdir(parents=True, exist_ok=True)
    save_file({f"{_LAYER}.lora_up.weight": up, f"{_LAYER}.lora_down.weight": down}, models / "loras" / LORA)


def write_controlnet(models: Path) -> None:
    """A ControlNet of the whole encoder."""
    import comfy.cldm.cldm
    import comfy.ops
    from host_tools import drawn

    sandbox = load_module("scedit_sandbox_model", REPOSITORY / "sandbox" / "model.py")
    unused = ("out_channels", "transformer_depth_output")
    config = {key: value for key, value in sandbox.UNET.items() if key not in unused} | sandbox.HEADS
    draw = torch.Generator().manual_seed(0)
    network = drawn(
        lambda: comfy.cldm.cldm.ControlNet(**config, hint_channels=3, operations=comfy.ops.manual_cast),
        lambda weights: torch.randn(weights.shape, generator=draw) * 0.05,
    )
    (models / "controlnet").mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), models / "controlnet" / CONTROLNET)
