"""Controls that belong to a prompt: their edits act on its part of a batch alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from comfy.controlnet import ControlBase
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from ...scedit_core.hint import PIXELS_PER_LATENT, to_hint, to_mask
from ..files.hosted import tuners_on
from .conditions import Applied, Condition
from .memory import weight_bytes
from .patch import OUTPUT_KIND, WRAPPER_KEY, SkipPatch, make_ready, skip_patch

Conditioning = list[Any]  # entries [tensor, dictionary]
_BLANK = 64  # sides of what stands for the picture of a style, which has none


class PromptControl(ControlBase):
    """A link in the chain that ComfyUI keeps with a prompt and asks for ControlNets' residuals.

    It has none. When it is asked, which is before each call of the model for its prompt, it adds its edit to
    the options of that call, after those that the MODEL has. Conds with and without it, or with another one,
    are not computed in one batch.

    `cond_hint_original` is what it sees, as with a ControlNet, its mask a fourth channel: upscalers that work
    tile by tile put the part of a tile there, in a `copy`.
    """

    def __init__(self, condition: Condition, strength: float) -> None:
        super().__init__()
        self.cond_hint_original = self._whole = _seen(condition)
        self.condition = condition
        self._weight = strength
        self.applied: Applied | None = None
        self._joined: tuple[SkipPatch | None, SkipPatch] | None = None

    def copy(self) -> PromptControl:
        """The same link, with nothing before it."""
        clone = PromptControl(self.condition, self._weight)
        clone._whole = self._whole
        self.copy_to(clone)
        return clone

    @property
    def has_hint(self) -> bool:
        """Whether it follows a picture; a style does not."""
        return self.condition.image is not None

    @property
    def is_steady(self) -> bool:
        """Whether it acts the same at all noise levels."""
        when = self.condition
        return (when.start_percent, when.end_percent) == (0, 1) and not when.schedules

    def follow(self, hint: Tensor, model: Any) -> None:
        """Have another hint `(N, 3, H, W)`, values 0..1, in the place of its own in a run that has begun."""
        self._forget()
        seen = [hint]
        if self.condition.mask is not None:
            mask = F.interpolate(self._whole[:1, -1:].to(hint), size=hint.shape[-2:], mode="area")
            seen.append(mask.expand(len(hint), -1, -1, -1))
        self.cond_hint_original = torch.cat(seen, dim=1)
        self._make_edit(model)

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """Called when sampling starts: the edit is made for the model and its noise levels as they are now.

        Raises SCEditError if a control was made for another base model.
        """
        super().pre_run(model, percent_to_timestep_function)
        self._forget_at_end(model.current_patcher)
        self._joined = None
        self._make_edit(model)

    def _make_edit(self, model: Any) -> None:
        # with an area the hint is the prompt's own, and covers that
        applied = self._cropped().applied(model.current_patcher, self._weight, is_whole=False)
        self.applied = None if applied.at().is_silent else applied
        applied.at(model.model_sampling)

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, transformer_options: dict[str, Any]
    ) -> Any:
        """Residuals of the links before, and our edit among `transformer_options`."""
        residuals = None
        if self.previous_controlnet is not None:
            residuals = self.previous_controlnet.get_control(
                x_noisy, t, cond, batched_number, transformer_options
            )
        if self.applied is not None:
            self._add_to(transformer_options, self.applied)
        return residuals

    def get_models(self) -> list[Any]:
        """Weights that ComfyUI has to load with the model."""
        return [*super().get_models(), self.condition.hosted.patcher]

    def inference_memory_requirements(self, dtype: torch.dtype) -> int:
        """Bytes that a run takes, for latents of the hints' size: the host asks before it says theirs."""
        own = _hint_numbers(self.condition) * dtype.itemsize
        own += weight_bytes([self.condition.hosted.patcher], dtype)
        return own + super().inference_memory_requirements(dtype)

    def cleanup(self) -> None:
        """Called when the sampling run ends."""
        super().cleanup()
        self._forget()

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> PromptControl:
        """The same link for another device, with tuners of its own."""
        hosted = self.condition.hosted
        there = replace(hosted, patcher=tuners_on(hosted.patcher, load_device))
        clone = PromptControl(replace(self.condition, hosted=there), self._weight)
        self.copy_to(clone)
        clone._whole = self._whole
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone

    def _cropped(self) -> Condition:
        """The condition with the part of hint and mask that was put in their place, if one was."""
        seen, condition = self.cond_hint_original, self.condition
        if seen is self._whole:
            return condition
        image = None if condition.image is None else seen[:, :3].movedim(1, -1)
        return replace(condition, image=image, mask=None if condition.mask is None else seen[:, -1])

    def _forget(self) -> None:
        if self._joined is not None:
            self._joined[1].cleanup()
        self.applied = self._joined = None

    def _forget_at_end(self, patcher: Any) -> None:
        """Keep nothing after a run that is cancelled: the host cleans up its patcher then, and no prompts."""
        key = f"{WRAPPER_KEY}_{id(self)}"

        def end(ended: Any) -> None:
            ended.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)
            self._forget()

        patcher.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)  # a link of several prompts
        patcher.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, end)

    def _add_to(self, options: dict[str, Any], applied: Applied) -> None:
        """Put our edit after those of the MODEL. No dictionary or list that others hold is changed."""
        patches, wrappers = options.get("patches", {}), options.get("wrappers", {})
        installed = skip_patch(options)
        others = [patch for patch in patches.get(OUTPUT_KIND, []) if patch is not installed]
        place = len(others) if installed is None else patches[OUTPUT_KIND].index(installed)
        joined = self._joined_to(installed, applied)
        options["patches"] = {**patches, OUTPUT_KIND: [*others[:place], joined, *others[place:]]}
        apply = wrappers.get(WrappersMP.APPLY_MODEL, {})
        if WRAPPER_KEY not in apply:
            apply = {**apply, WRAPPER_KEY: [make_ready]}
            options["wrappers"] = {**wrappers, WrappersMP.APPLY_MODEL: apply}

    def _joined_to(self, installed: SkipPatch | None, applied: Applied) -> SkipPatch:
        """One patch of both, the same in each step: what it has encoded is kept for the run."""
        if self._joined is None or self._joined[0] is not installed:
            self._joined = installed, (installed or SkipPatch()).followed_by(applied)
        return self._joined[1]


def _seen(condition: Condition) -> Tensor:
    """Hint and mask of a condition as channels of `(N, C, H, W)`, those it has; a blank if it has none."""
    hint = None if condition.image is None else to_hint(condition.image)
    if condition.mask is None:
        return torch.zeros(1, 1, _BLANK, _BLANK) if hint is None else hint
    mask = to_mask(condition.mask)
    if hint is None:
        return mask
    mask = F.interpolate(mask, size=hint.shape[-2:], mode="area")
    count = math.lcm(len(hint), len(mask))
    return torch.cat([each.repeat(count // len(each), 1, 1, 1) for each in (hint, mask)], dim=1)


def _hint_numbers(condition: Condition) -> int:
    """How many numbers the features of its hints `(N, H, W, 3)` are; none for a style."""
    if condition.image is None:
        return 0
    height, width = (-(-side // PIXELS_PER_LATENT) for side in condition.image.shape[1:3])
    return len(condition.image) * condition.hosted.patcher.model.numbers_of_hint(height, width)


def apply_to_prompt(
    conditioning: Conditioning, conditions: Sequence[Condition], strength: float
) -> Conditioning:
    """A CONDITIONING with these controls added to each of its entries, after what they have already.

    Without effect (no strength, weights of 0, black masks) it is handed back itself.
    """
    conditions = [one for one in conditions if strength * one.weight and (one.mask is None or one.mask.any())]
    if not conditions:
        return conditioning
    controls: dict[Any, Any] = {}  # the same for all entries with the same links: they stay in one batch
    scoped = []
    for embedding, facts in conditioning:
        earlier = facts.get("control")
        if earlier not in controls:
            last = earlier
            for condition in conditions:
                last = PromptControl(condition, strength).set_previous_controlnet(last)
            controls[earlier] = last
        uncond = {"control_apply_to_uncond": facts.get("control_apply_to_uncond", False)}
        scoped.append([embedding, {**facts, "control": controls[earlier], **uncond}])
    return scoped
