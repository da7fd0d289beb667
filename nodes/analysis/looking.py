"""One look of a MODEL at a noised latent, in several variants, within one run of the host's sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...scedit_core import SCEditError
from ..patching.captions import check_captions
from ..patching.probe import Probe, Variant


@dataclass(frozen=True, eq=False)
class Scene:
    """What a sampler would be handed, and the part of the denoising 0..1 at which the MODEL looks."""

    model: Any
    positive: list[Any]
    latent: dict[str, Any]
    seed: int
    percent: float

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 1:
            raise SCEditError(
                f"percent is a part of the denoising from 0, the first step, to 1, got {self.percent:g}; "
                "choose one between them"
            )

    @property
    def level(self) -> float:
        """The noise level there: its sigma."""
        sampling = self.model.get_model_object("model_sampling")
        level = float(sampling.percent_to_sigma(self.percent))
        return min(max(level, float(sampling.sigma_min)), float(sampling.sigma_max))


@dataclass(frozen=True, eq=False)
class Look:
    """The picture `(B, C, h, w)` that a MODEL sees in a noised latent, and outputs of its decoder."""

    picture: Tensor
    outputs: dict[int, Tensor]


def look(scene: Scene, variants: Sequence[tuple[Variant, Sequence[int]]]) -> list[Look]:
    """What the MODEL sees, a look for each variant, with the output blocks that are to be watched in it.

    Pictures are those at the model's own scale, float32 in memory. The host prepares the run, once for all:
    prompts, areas, controls, weights on the device, other nodes' patches.
    """
    samples = _samples(scene)
    check_captions(scene.model, [scene.positive])
    looks: list[Look] = []
    bar = comfy.utils.ProgressBar(len(variants))

    def look_once(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict[str, Any], **_more: Any) -> Tensor:
        level = sigmas[0].expand(x.shape[0])
        for variant, watched in variants:
            comfy.model_management.throw_exception_if_processing_interrupted()
            probe = Probe(variant, watched)
            options = probe.options(extra_args["model_options"])
            picture = model(x, level, **{**extra_args, "model_options": options})
            looks.append(Look(picture.to("cpu", torch.float32, copy=True), probe.outputs))
            bar.update(1)
        return x

    guider = comfy.samplers.CFGGuider(scene.model)
    guider.inner_set_conds({"positive": scene.positive})
    noise = comfy.sample.prepare_noise(samples, scene.seed, scene.latent.get("batch_index"))
    sigmas = torch.tensor([scene.level, 0.0])
    guider.sample(
        noise, samples, comfy.samplers.KSAMPLER(look_once), sigmas,
        denoise_mask=scene.latent.get("noise_mask"), disable_pbar=True, seed=scene.seed,
    )  # fmt: skip
    _check(looks, variants)
    return looks


def _samples(scene: Scene) -> Tensor:
    """The latent's numbers. Raises SCEditError for a latent that the MODEL cannot look at."""
    samples = scene.latent["samples"]
    if samples.ndim == 4 and samples.numel() > 0:
        samples = comfy.sample.fix_empty_latent_channels(scene.model, samples.float())
    wanted = scene.model.model.latent_format.latent_channels
    is_picture = samples.ndim == 4 and samples.numel() > 0 and samples.shape[1] == wanted
    if not is_picture or max(samples.shape[2:]) < 2:
        raise SCEditError(
            f"latent_image has shape {tuple(samples.shape)}, but this model looks at (pictures, {wanted}, "
            "height, width) of more than one pixel; encode a picture with the model's VAE, or connect 'Empty "
            "Latent Image'"
        )
    if not bool(torch.isfinite(samples).all()):
        raise SCEditError(
            "latent_image holds values that are no numbers (NaN), so there is nothing to see; encode its "
            "picture again, with the VAE in fp32 if need be"
        )
    return samples


def _check(looks: Sequence[Look], variants: Sequence[tuple[Variant, Sequence[int]]]) -> None:
    if not bool(torch.isfinite(looks[0].picture).all()):
        raise SCEditError(
            "the model's own output holds values that are no numbers (NaN), so nothing can be compared with "
            "it; load the model in another precision, as bf16 or fp32, or at another percent"
        )
    if any(each.outputs.keys() != {*watched} for each, (_, watched) in zip(looks, variants, strict=True)):
        raise SCEditError(
            "this model's decoder could not be looked into: another node computes its U-Net in a way of its "
            "own; connect the model before that node"
        )
