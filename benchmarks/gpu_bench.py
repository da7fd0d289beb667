"""What the sections of the GPU check share: the pack in a started ComfyUI, models, sampling, cleaning up."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.memory_management
import comfy.model_management
import comfy.model_prefetch
import comfy.sample
import comfy_aimdo.model_vbar
import torch
import workbench
from host_start import Meter
from torch import Tensor

SIZES = {"sd15": 512, "sd21": 768, "sdxl": 1024}
TINY = 64  # pixels


class Bench:
    """One ComfyUI with the pack in it. `tiny` shrinks models and pictures to what a CPU runs in no time."""

    def __init__(self, models: Path, *, tiny: bool) -> None:
        self.tiny = tiny
        self.device = workbench.device()
        self.pack = workbench.load_pack()
        folder_paths = importlib.import_module("folder_paths")
        folder_paths.models_dir = str(models)
        self.pack.nodes.register_tuner_folder()
        self.models = models / "scedit"
        self.nodes = {node.define_schema().node_id: node for node in self.pack.nodes.NODES}
        self.meter = Meter(self.device)

    def unet(self, base: str, *, whole: bool = False) -> Mapping[str, Any]:
        """Configuration of a base model's U-Net; `whole` keeps all of its blocks, however tiny it is."""
        full = workbench.UNETS[base]
        if not self.tiny:
            return full
        return workbench.shrunk(full) if whole else workbench.smallest(full)

    def size(self, base: str) -> int:
        """Side of a picture in pixels."""
        return TINY if self.tiny else SIZES[base]

    def run(self, node: str, **inputs: Any) -> Any:
        """First output of a node, executed as ComfyUI does."""
        with executing():
            return self.nodes[node].execute(**inputs).args[0]

    def keep_only(self, model: Any) -> None:
        """Take everything but this MODEL's own weights off the device."""
        gc.collect()
        management = comfy.model_management
        loaded = management.current_loaded_models
        keep = [one for one in loaded if one.model is not None and one.model.model is model.model]
        management.free_memory(1e30, self.device, keep_loaded=keep)

    def clean(self) -> None:
        """Take everything off the device, and begin to measure anew."""
        gc.collect()  # first what nobody needs any more: it does not have to be brought back to main memory
        comfy.model_management.cleanup_models_gc()
        comfy.model_management.unload_all_models()
        comfy.model_management.soft_empty_cache()
        self.meter = Meter(self.device)


@contextmanager
def executing() -> Iterator[None]:
    """What ComfyUI has around a node: inference mode, and with dynamic VRAM what it tidies up afterwards."""
    try:
        with torch.inference_mode():
            yield
    finally:
        if comfy.memory_management.aimdo_enabled:
            comfy.model_management.reset_cast_buffers()
            comfy.model_prefetch.cleanup_prefetch_queues()
            comfy_aimdo.model_vbar.vbars_reset_watermark_limits()


def picture(size: int) -> Tensor:
    """A random hint (1, H, W, 3)."""
    return torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(1))


def sample(
    model: Any,
    size: int,
    steps: int = 1,
    control: Any = None,
    after_step: Callable[..., None] = lambda *_: None,
) -> Tensor:
    """Latents sampled by ComfyUI from fixed noise and prompts, cond and uncond in each step."""
    draw = torch.Generator().manual_seed(7)
    width = model.model.model_config.unet_config["context_dim"]
    extra: dict[str, Any] = {"pooled_output": torch.randn(1, 1280, generator=draw)}
    if control is not None:
        extra |= {"control": control, "control_apply_to_uncond": False}
    positive, negative = ([[torch.randn(1, 77, width, generator=draw), extra]] for _ in range(2))
    noise = torch.randn(1, 4, size // 8, size // 8, generator=draw)
    ways = {"callback": after_step, "disable_pbar": True, "seed": 1}
    with executing():
        made = comfy.sample.sample(
            model, noise, steps, 4.0, "euler", "normal", positive, negative, torch.zeros_like(noise), **ways
        )
    return made.float().cpu()
