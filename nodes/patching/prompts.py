"""Controls that belong to a prompt: their edits act on its part of a batch alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from comfy.controlnet import ControlBase
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from ...scedit_core.hint import PIXELS_PER_LATENT
from ..files.hosted import tuners_on
from .conditions import Condition
from .memory import weight_bytes
from .patch import OUTPUT_KIND, WRAPPER_KEY, SkipPatch, make_ready, skip_patch

Conditioning = list[Any]  # entries [tensor, dictionary]


class PromptControl(ControlBase):
    """A link in the chain that ComfyUI keeps with a prompt and asks for ControlNets' residuals.

    It has none. When it is asked, which is before each call of the model for its prompt, it adds its edits to
    the options of that call, after those that the MODEL has. Conds with and without it, or with another one,
    are not computed in one batch.
    """

    def __init__(self, conditions: Sequence[Condition], strength: float) -> None:
        super().__init__()
        self._conditions = tuple(conditions)
        self._weight = strength
        self._patch = SkipPatch()
        self._joined: tuple[SkipPatch | None, SkipPatch] | None = None

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """Called when sampling starts: edits are made for the model and its noise levels as they are now.

        Raises SCEditError if a control was made for another base model.
        """
        super().pre_run(model, percent_to_timestep_function)
        self._forget_at_end(model.current_patcher)
        self._patch, self._joined = SkipPatch(), None
        for condition in self._conditions:
            # with an area the hint is the prompt's own, and covers that
            applied = condition.applied(model.current_patcher, self._weight, is_whole=False)
            if not applied.at().is_silent:
                self._patch = self._patch.extended(applied)
        self._patch.begin(model.model_sampling)

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, transformer_options: dict[str, Any]
    ) -> Any:
        """Residuals of the links before, and our edits among `transformer_options`."""
        residuals = None
        if self.previous_controlnet is not None:
            residuals = self.previous_controlnet.get_control(
                x_noisy, t, cond, batched_number, transformer_options
            )
        if self._patch.applied:
            self._add_to(transformer_options)
        return residuals

    def get_models(self) -> list[Any]:
        """Weights that ComfyUI has to load with the model."""
        return [*super().get_models(), *dict.fromkeys(one.hosted.patcher for one in self._conditions)]

    def inference_memory_requirements(self, dtype: torch.dtype) -> int:
        """Bytes that a run takes, for latents of the hints' size: the host asks before it says theirs."""
        sizes = {
            (one.hosted.patcher, id(one.image)): _hint_numbers(one.hosted.patcher.model, one.image)
            for one in self._conditions
        }
        patchers = dict.fromkeys(one.hosted.patcher for one in self._conditions)
        own = sum(sizes.values()) * dtype.itemsize + weight_bytes(patchers, dtype)
        return own + super().inference_memory_requirements(dtype)

    def cleanup(self) -> None:
        """Called when the sampling run ends."""
        super().cleanup()
        self._forget()

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> PromptControl:
        """The same link for another device, with tuners of its own."""
        hosted = (one.hosted for one in self._conditions)
        there = [replace(each, patcher=tuners_on(each.patcher, load_device)) for each in hosted]
        conditions = [replace(one, hosted=own) for one, own in zip(self._conditions, there, strict=True)]
        clone = PromptControl(conditions, self._weight)
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone

    def _forget(self) -> None:
        self._patch.cleanup()
        self._patch, self._joined = SkipPatch(), None

    def _forget_at_end(self, patcher: Any) -> None:
        """Keep nothing after a run that is cancelled: the host cleans up its patcher then, and no prompts."""
        key = f"{WRAPPER_KEY}_{id(self)}"

        def end(ended: Any) -> None:
            ended.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)
            self._forget()

        patcher.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)  # a link of several prompts
        patcher.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, end)

    def _add_to(self, options: dict[str, Any]) -> None:
        """Put our edits after those of the MODEL. No dictionary or list that others hold is changed."""
        patches, wrappers = options.get("patches", {}), options.get("wrappers", {})
        installed = skip_patch(options)
        others = [patch for patch in patches.get(OUTPUT_KIND, []) if patch is not installed]
        place = len(others) if installed is None else patches[OUTPUT_KIND].index(installed)
        joined = self._joined_to(installed)
        options["patches"] = {**patches, OUTPUT_KIND: [*others[:place], joined, *others[place:]]}
        apply = wrappers.get(WrappersMP.APPLY_MODEL, {})
        if WRAPPER_KEY not in apply:
            apply = {**apply, WRAPPER_KEY: [make_ready]}
            options["wrappers"] = {**wrappers, WrappersMP.APPLY_MODEL: apply}

    def _joined_to(self, installed: SkipPatch | None) -> SkipPatch:
        """One patch of both, the same in each step: what it has encoded is kept for the run."""
        if self._joined is None or self._joined[0] is not installed:
            self._joined = installed, self._patch if installed is None else installed.followed_by(self._patch)
        return self._joined[1]


def _hint_numbers(tuners: Any, image: Tensor | None) -> int:
    """How many numbers the features of hints `(N, H, W, 3)` are; none for a style."""
    if image is None:
        return 0
    height, width = (-(-side // PIXELS_PER_LATENT) for side in image.shape[1:3])
    return len(image) * tuners.numbers_of_hint(height, width)


def apply_to_prompt(
    conditioning: Conditioning, conditions: Sequence[Condition], strength: float
) -> Conditioning:
    """A CONDITIONING with these controls added to each of its entries, after what they have already.

    Without effect (no strength, weights of 0, black masks) it is handed back itself.
    """
    conditions = [one for one in conditions if strength * one.weight and (one.mask is None or one.mask.any())]
    if not conditions:
        return conditioning
    controls: dict[Any, PromptControl] = {}  # one for all entries with the same links: they stay in one batch
    scoped = []
    for embedding, facts in conditioning:
        earlier = facts.get("control")
        if earlier not in controls:
            controls[earlier] = PromptControl(conditions, strength)
            controls[earlier].set_previous_controlnet(earlier)
        uncond = {"control_apply_to_uncond": facts.get("control_apply_to_uncond", False)}
        scoped.append([embedding, {**facts, "control": controls[earlier], **uncond}])
    return scoped
