"""Teachers for `teaching`: a LoRA and a ControlNet, trained on the sandbox's model at a small size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.ops
import comfy.samplers
import torch
from torch import Tensor, nn

BATCH, RANK = 8, 8
_TRANSFORMERS = "transformer_blocks"


class Lora(nn.Module):
    """Low-rank changes of a network's layers: all of them, or those of attention alone."""

    def __init__(self, network: nn.Module, layers: str) -> None:
        super().__init__()
        self._handles: list[Any] = []
        self.pairs = nn.ModuleDict()
        self._layers = {
            name: layer
            for name, layer in network.named_modules()
            if isinstance(layer, (nn.Linear, nn.Conv2d)) and (layers == "all" or _TRANSFORMERS in name)
        }
        for name, layer in self._layers.items():
            self.pairs[name.replace(".", "/")] = nn.ModuleList(_pair(layer))

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Within, the layers add what it makes of their input."""
        handles = [
            layer.register_forward_hook(self._hook(name.replace(".", "/")))
            for name, layer in self._layers.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def file(self) -> dict[str, Tensor]:
        """Its weights as ComfyUI's LoRA loader takes them."""
        weights = {}
        for name, (down, up) in self.pairs.items():
            key = f"diffusion_model.{name.replace('/', '.')}"
            weights[f"{key}.lora_down.weight"] = down.weight.detach().clone()
            weights[f"{key}.lora_up.weight"] = up.weight.detach().clone()
        return weights

    def _hook(self, name: str) -> Callable[..., Tensor]:
        down, up = self.pairs[name]
        return lambda _layer, given, made: made + up(down(given[0]))


def _pair(layer: Any) -> tuple[nn.Module, nn.Module]:
    if isinstance(layer, nn.Linear):
        down: nn.Module = nn.Linear(layer.in_features, RANK, bias=False)
        up: nn.Module = nn.Linear(RANK, layer.out_features, bias=False)
    else:
        size: Any = (layer.kernel_size, layer.stride, layer.padding)
        down = nn.Conv2d(layer.in_channels, RANK, *size, bias=False)
        up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
    nn.init.zeros_(up.weight)
    return down, up


def train_lora(pack: Any, model: Any, data: Any, layers: str, steps: int, rate: float) -> dict[str, Tensor]:
    """A LoRA that learnt these pictures; its file."""
    with pack.nodes.training.base_model.differentiable(model) as base:
        lora = Lora(base.patcher.model.diffusion_model, layers)
        denoising = pack.scedit_core.training.denoising_loss
        with lora.acting():
            _learn(pack, lora, data, steps, rate, lambda batch, draws: denoising(base, batch, (), draws, 0.0))
    return lora.file()


def control_network(unet: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """ComfyUI's ControlNet for a U-Net of these weights, as ControlNets begin: a copy that adds nothing."""
    config = {key: v for key, v in unet.items() if key not in ("out_channels", "transformer_depth_output")}
    torch.manual_seed(0)
    network = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, operations=comfy.ops.manual_cast)
    silent = ("zero_convs.", "middle_block_out.", "input_hint_block.14.")
    with torch.no_grad():
        for name, own in network.named_parameters():
            if name in weights and weights[name].shape == own.shape:
                own.copy_(weights[name])
            elif own.ndim < 2 or name.startswith(silent):
                own.zero_()
            else:
                nn.init.kaiming_uniform_(own, a=math.sqrt(5))
    return network.requires_grad_(True)


def train_controlnet(
    pack: Any, model: Any, network: nn.Module, data: Any, steps: int, rate: float
) -> nn.Module:
    """A ControlNet that learnt to follow the examples' first hints."""
    noised_batch = pack.scedit_core.training.objective.noised_batch
    options = pack.nodes.training.base_model.call_options
    with pack.nodes.training.base_model.differentiable(model) as base:
        whole = base.patcher.model

        def loss(batch: Any, draws: Any) -> Tensor:
            latents, noisy, sigma = noised_batch(base, batch, draws)
            inputs = comfy.samplers.cond_cat(
                [base.captions.prepared(caption, tuple(noisy.shape[1:])) for caption in batch.captions]
            )
            hint = pack.scedit_core.training.dataset.examples.unit(batch.hints[0])
            control = network(
                x=base.sampling.calculate_input(sigma, noisy),
                hint=hint,
                timesteps=base.sampling.timestep(sigma).float(),
                context=inputs["c_crossattn"],
            )
            picture = whole.apply_model(
                noisy, sigma, **inputs, control=control, transformer_options=options(sigma)
            )
            error = (picture - latents) / base.output_scale(sigma).view(-1, 1, 1, 1)
            return error.square().mean()

        _learn(pack, network, data, steps, rate, loss)
    return network.requires_grad_(False).eval()


def hosted(network: nn.Module) -> Any:
    """A trained ControlNet as ComfyUI's nodes hand it on."""
    place = comfy.model_management.get_torch_device()
    return comfy.controlnet.ControlNet(network, load_device=place, manual_cast_dtype=None)


@torch.no_grad()
def left_of(bench: Any, teacher: Sequence[Any], student: Any) -> float:
    """Share of what a teacher changes that a student has not learnt, on held-out scenes.

    Their squared distance of predictions, divided by that of the teacher and the base.
    """
    training = bench.pack.nodes.training
    latents = bench.latents([scene.picture for scene in bench.held_out])
    captions = [bench.shop.caption(scene.caption) for scene in bench.held_out]
    batch = training.examples.to_training_set(bench.model, (latents, captions), [], None, True).batch(
        0, len(bench.held_out), 0
    )
    losses = []
    for model in (student, bench.model):
        asked = training.teaching.asked.AskedTeacher.taken({"teacher": list(teacher)}, model)
        with (
            training.base_model.differentiable(model, "off", asked.models(model)) as base,
            training.teaching.asked.teaching(asked, model, base, 0) as taught,
            torch.no_grad(),
        ):
            draws = [torch.Generator().manual_seed(number) for number in range(len(bench.held_out))]
            loss = bench.pack.scedit_core.training.denoising_loss(base, batch, (), draws, 0.0, taught)
            losses.append(float(loss))
    return round(losses[0] / losses[1], 3)


def _learn(
    pack: Any, trained: nn.Module, data: Any, steps: int, rate: float, loss_of: Callable[..., Tensor]
) -> None:
    generator = pack.scedit_core.training.dataset.order.generator
    parameters = [weights for weights in trained.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    began = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 if step < 0.7 * steps else 0.2)
        batch = data.batch(step, BATCH, 0, 0.1)
        loss = loss_of(batch, [generator(0, "noise", step, place) for place in batch.places])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 50 == 0:
            pace = (time.monotonic() - began) / (step + 1)
            print(f"  teacher: step {step} of {steps}, loss {loss.item():.4f}, {pace:.2f} s", flush=True)
