"""Small models, pictures and sampling runs in a real ComfyUI, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.memory_management
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models_base
import pytest
import torch
from safetensors.torch import load_file
from support import GOLDEN


def tiny_model(unet: str = "sd15_6skip", dtype: torch.dtype = torch.float32) -> Any:
    """A MODEL around one of the golden U-Nets."""
    entry = GOLDEN.index["unets"][unet]

    class Tiny(comfy.supported_models_base.BASE):
        unet_config = {}  # noqa: RUF012 - the host reads a plain class attribute
        unet_extra_config = {}  # noqa: RUF012
        latent_format = comfy.latent_formats.SD15

    config = Tiny(entry["comfyui_unet_config"])
    config.unet_config["dtype"] = dtype
    model = comfy.model_base.BaseModel(config, device=comfy.model_management.unet_offload_device())
    weights = load_file(GOLDEN.path(entry["file"]))
    model.diffusion_model.load_state_dict({key: value.to(dtype) for key, value in weights.items()})
    places = (comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device())
    return comfy.model_patcher.CoreModelPatcher(model, *places)


def drawn(
    make: Callable[[], torch.nn.Module], draw: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """A network that `make` builds, as the host's mode has its layers, with each of its weights drawn.

    Where layers have no weights until they are filled, their sizes are those of a twin that has them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.memory_management, "aimdo_enabled", False)
        sizes = make().state_dict()
    network = make()
    network.load_state_dict({key: draw(value) for key, value in sizes.items()})
    return network


def load(nodes: dict[str, Any], node: str, tuner: str) -> Any:
    """Load a golden tuner through a loader node."""
    return run(nodes[node], tuner_name=GOLDEN.tuner(tuner).name)


def run(node: Any, **inputs: Any) -> Any:  # one value per input of a node, which differ
    """First output of a node, executed as ComfyUI does."""
    with torch.inference_mode():
        return node.execute(**inputs).args[0]


def picture(height: int = 128, width: int = 128, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Random pictures (B, H, W, 3) with coarse structure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)


def sample(
    model: Any, *, size: tuple[int, int] = (16, 16), batch: int = 1, steps: int = 3, cfg: float = 4.0
) -> torch.Tensor:
    """Latents sampled by ComfyUI with fixed noise and prompt."""
    context_dim = model.model.model_config.unet_config["context_dim"]
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(batch, 4, *size, generator=generator)
    positive, negative = ([[torch.randn(1, 7, context_dim, generator=generator), {}]] for _ in range(2))
    latent = torch.zeros(batch, 4, *size)
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, steps, cfg, "euler", "normal", positive, negative, latent, disable_pbar=True, seed=1
        )


@contextmanager
def as_found(folder: Path) -> Iterator[None]:
    """What is written to a folder inside is gone afterwards."""
    there = set(folder.rglob("*"))
    yield
    for path in sorted(set(folder.rglob("*")) - there, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def cancelled_at_look(number: int) -> Iterator[list[int]]:
    """The user cancels before what runs looks for that the `number`-th time; the looks so far."""
    looks: list[int] = []
    look = comfy.model_management.throw_exception_if_processing_interrupted

    def cancel() -> None:
        looks.append(1)
        if len(looks) == number:
            comfy.model_management.interrupt_current_processing()
        look()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_management, look.__name__, cancel)
        yield looks
