"""Pictures as ComfyUI's own sampler paints them, one at a time, for nodes of several rooms."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from . import widgets

# called after each step with its number, from 0, and the picture that the model sees in it, as a latent
AfterStep = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Sampling:
    """How pictures are painted: in so many steps, drawn to their prompts by `cfg`."""

    steps: int = 20
    cfg: float = 5.0
    sampler: str = "euler"
    scheduler: str = "normal"

    @classmethod
    def taken(cls, inputs: MutableMapping[str, Any]) -> Sampling:
        """What the widgets of `sampling_inputs` say, taken out of a node's inputs."""
        names = {"steps": "steps", "cfg": "cfg", "sampler_name": "sampler", "scheduler": "scheduler"}
        return cls(**{names[name]: inputs.pop(name) for name in names if name in inputs})


def sampling_inputs() -> list[io.Input]:
    """Steps, cfg, sampler and scheduler, in this order."""
    samplers, schedulers = comfy.samplers.KSampler.SAMPLERS, comfy.samplers.KSampler.SCHEDULERS
    return [
        widgets.whole("steps", 20, (1, 1000), "Sampling steps of each picture.", **widgets.OPTIONAL),
        widgets.number(
            "cfg",
            5.0,
            (0.0, 100.0),
            "How strongly each is drawn to its prompt.",
            step=0.1,
            **widgets.OPTIONAL,
        ),
        widgets.choice("sampler_name", samplers, "The sampler.", "euler", **widgets.ADVANCED),
        widgets.choice("scheduler", schedulers, "Its noise levels.", "normal", **widgets.ADVANCED),
    ]


def painted(
    model: Any, prompts: tuple[Any, Any], empty: Tensor, how: Sampling, seed: int, after_step: AfterStep
) -> Tensor:
    """The latent, at the VAE's scale, that a KSampler with this seed makes of an empty one.

    `prompts` are CONDITIONINGs, the positive and the negative one. Stops between steps if the user cancelled.
    """

    def stepped(step: int, seen: Tensor, *_: Any) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        after_step(step, seen)

    noise = comfy.sample.prepare_noise(empty, seed)
    return comfy.sample.sample(
        model, noise, how.steps, how.cfg, how.sampler, how.scheduler, *prompts, empty,
        callback=stepped, disable_pbar=True, seed=seed,
    )  # fmt: skip


def decoded(vae: Any, latent: Tensor) -> np.ndarray:
    """The picture of a latent at the VAE's scale, uint8 `(H, W, 3)`."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    pixels = vae.decode(latent)[0, ..., :3]
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
