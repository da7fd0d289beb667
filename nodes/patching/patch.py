"""The seam to ComfyUI's model patching: how edits of skips get into a MODEL, and which of them act in a step.

ComfyUI calls the wrapper `make_ready` before it runs the U-Net, and a SkipPatch at each output block.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from ...scedit_core import SkipEdit, edit_encoder, edit_skip
from ..files.hosted import tuners_on
from .conditions import Applied, Condition, skip_layout
from .devices import follow_devices
from .memory import RunMemory, feature_bytes, weight_bytes
from .muted import Muted
from .ready import Call, Kept, Step
from .rows import areas_of_chunks, one_for_all, publish_areas, rows_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

OUTPUT_KIND = "output_block_patch"
INPUT_KIND = "input_block_patch"
STEP_KEY = "scedit_step"
WRAPPER_KEY = "scedit"
_untraced: Any = torch.compiler.disable  # for what decides in Python what depends on the step


def install(model: ModelPatcher, conditions: Sequence[Condition], strength: float = 1.0) -> ModelPatcher:
    """A clone of the MODEL with these edits added to those it has; the MODEL itself stays as it is.

    Every clone has at most one SkipPatch, so that controls read the unedited skip and not each other's
    results. An edit without effect is left out: the base model's picture comes out bit for bit.
    """
    skip_layout(model)  # refuses a model without skips even if there is nothing to add
    clone = model.clone()
    earlier = skip_patch(clone.model_options["transformer_options"])
    patch = earlier or SkipPatch()
    for condition in conditions:
        applied = condition.applied(model, strength)
        if not applied.at().is_silent:
            patch = patch.extended(applied)
    if patch.applied:
        patch = patch.on_device(model.load_device)
        put(clone, OUTPUT_KIND, patch)
    if patch.applied and earlier is None:
        clone.add_callback_with_key(CallbacksMP.ON_PRE_RUN, WRAPPER_KEY, _begin)
        clone.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, WRAPPER_KEY, tell_memory)
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, WRAPPER_KEY, make_ready)
        clone.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, WRAPPER_KEY, publish_areas)
        _ensure_cleanup(clone)
        follow_devices(clone)
    if patch.edits_encoder:
        put(clone, INPUT_KIND, EncoderPatch(patch))
    return clone


class SkipPatch:
    """All SCEdit edits of one model clone: an `output_block_patch` object, immutable but for its caches.

    Clones of a MODEL share patch objects, and several threads may call one (a device each), so what is kept
    is keyed by device and size, and emptied by the host's cleanup() at the end of each sampling run.
    """

    def __init__(self, applied: Sequence[Applied | Muted] = (), kept: Kept | None = None) -> None:
        self.applied = tuple(applied)
        self._kept = kept or Kept()
        self._elsewhere: dict[torch.device, SkipPatch] = {}

    @property
    def edits(self) -> tuple[SkipEdit, ...]:
        """The edits, at the noise levels of the MODEL they were applied to."""
        return tuple(each.at() for each in self.applied)

    def extended(self, applied: Applied) -> SkipPatch:
        """A new patch with one more edit; equal hints become one, so that a run encodes them once."""
        return SkipPatch(self._with(applied))

    def followed_by(self, applied: Applied) -> SkipPatch:
        """A patch with one more edit for calls of the same run: what is kept of these is used again."""
        return SkipPatch(self._with(applied), self._kept)

    def _with(self, applied: Applied) -> tuple[Applied | Muted, ...]:
        hints = [each.hint for each in self.applied if each.hint is not None]
        return *self.applied, applied.with_hint_among(hints)

    def muted(self, off: Mapping[int, Collection[int]]) -> SkipPatch:
        """The patch with its n-th edit off at the blocks `off[n]`, for calls of the same run.

        What is encoded of hints is used again; masks and areas, which belong to one edit, are its own.
        """
        applied = [Muted(each, off[n]) if n in off else each for n, each in enumerate(self.applied)]
        patch = SkipPatch(applied, replace(self._kept, masks={}, chunks={}))
        patch._elsewhere = {device: there.muted(off) for device, there in self._elsewhere.items()}
        return patch

    def __call__(
        self, h: Tensor, skip: Tensor | None, transformer_options: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Edit the skip that the host is about to hand to an output block; None if a patch took it away."""
        if skip is None:
            return h, None
        step = self.current_step(skip, transformer_options)
        return h, edit_skip(skip, transformer_options["block"][1], step.edits, step.latents)

    def current_step(self, skip: Tensor, options: Mapping[str, Any]) -> Step:
        """The step that was made ready for this call, or, where a U-Net is called directly, one made now."""
        height, width = options["original_shape"][-2:]
        step = options.get(STEP_KEY)
        if step is not None and step.fits(skip, (height, width)):
            return step
        return self.step(Call((height, width), skip.shape[0], skip.device, skip.dtype), options)

    @_untraced
    def step(self, call: Call, options: Mapping[str, Any], sampling: Any = None) -> Step:
        """The edits that act in a call of the U-Net, ready for the latents it works on.

        `sampling` says at which noise levels; without it those of the MODEL that was edited count.
        """
        edits = [each.at(sampling) for each in self.applied]
        sigma = math.inf if all(edit.is_always_on for edit in edits) else self._level(options["sigmas"])
        acting = [edit for edit in edits if edit.acts_at(sigma)]
        chunks = areas_of_chunks(options)
        rows = None if all(map(_is_one_for_all, acting)) else rows_of(call.rows, options)
        if chunks is not None and rows is None:
            rows = one_for_all(call.rows)
        ready = tuple(self._kept.prepared(edit, call, sigma, rows, chunks) for edit in acting)
        latents = None if rows is None or chunks is not None else self._kept.tensor(rows.latents, call.device)
        return Step(ready, latents, call)

    def begin(self, sampling: Any) -> None:
        """Read the noise levels of a run, before its first step."""
        for each in self.applied:
            each.at(sampling)

    @property
    def edits_encoder(self) -> bool:
        """True if it has edits of the encoder, for which the host has another place to call it from."""
        return any(each.patcher.model.spec.place == "encoder" for each in self.applied)

    def on_device(self, device: torch.device) -> SkipPatch:
        """The same edits with tuners of their own on another device; the same patch each time."""
        if all(each.patcher.load_device == device for each in self.applied):
            return self
        if device not in self._elsewhere:
            there = [each.held_by(tuners_on(each.patcher, device)) for each in self.applied]
            self._elsewhere[device] = SkipPatch(there)
        return self._elsewhere[device]

    def to(self, device_or_dtype: Any) -> SkipPatch:
        """Itself, as the patchers hold the weights, or that of another device of several."""
        return self._elsewhere.get(device_or_dtype, self)

    def models(self) -> list[ModelPatcher]:
        """The weights that ComfyUI has to load together with the model."""
        return list(dict.fromkeys(each.patcher for each in self.applied))

    def cleanup(self) -> None:
        """Called by ComfyUI when a sampling run ends, whether it succeeded or not."""
        self._kept.clear()

    def _level(self, sigmas: Tensor) -> float:
        """This step's noise level, read from the device once however often the step calls the U-Net."""
        seen = self._kept.sigma
        if seen is None or seen[0] is not sigmas:
            seen = self._kept.sigma = (sigmas, float(sigmas.max()))
        return seen[1]


def _is_one_for_all(edit: SkipEdit) -> bool:
    """True if an edit has no hint, mask or strength that is one row's alone."""
    images = (edit.hint, edit.mask)
    return all(image is None or len(image) == 1 for image in images) and not edit.factors.is_by_row


class EncoderPatch:
    """Has a SkipPatch called where ComfyUI lets input blocks be edited; the weights are the SkipPatch's."""

    def __init__(self, patch: SkipPatch) -> None:
        self.patch = patch

    def __call__(self, h: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        """Edit what an input block is about to pass on, to the next block and to its skip."""
        step = self.patch.current_step(h, transformer_options)
        return edit_encoder(h, transformer_options["block"][1], step.edits, step.latents)

    def to(self, _device_or_dtype: Any) -> EncoderPatch:
        """Nothing to move."""
        return self


def make_ready(
    executor: Any,
    x: Tensor,
    t: Tensor,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: dict[str, Any] | None = None,
    **conds: Any,
) -> Tensor:
    """The host's apply_model, before which the edits of a step are made ready.

    What a step has to read from the device (its noise level, if an edit has a window) and to send to it is
    done here, while nothing of the U-Net is alive.
    """
    options = transformer_options or {}
    patch = skip_patch(options)
    if patch is not None:
        height, width = x.shape[-2:]
        call = Call((height, width), x.shape[0], x.device, executor.class_obj.get_dtype_inference())
        step = patch.step(call, options, executor.class_obj.model_sampling)
        options = {**options, STEP_KEY: step}
    return executor(x, t, c_concat, c_crossattn, control, options, **conds)


def tell_memory(
    executor: Any,
    model: ModelPatcher,
    noise_shape: Sequence[int],
    conds: dict[str, Any],
    model_options: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """The host's prepare_sampling, which is told how much memory the edits of this run will take."""
    options, dtype = model_options or {}, model.model.get_dtype_inference()
    patch = skip_patch(options.get("transformer_options", {}))
    size = 0
    if patch is not None:
        size = feature_bytes(patch.edits, noise_shape, dtype, options) + weight_bytes(patch.models(), dtype)
    # conds are where it looks for controls; what comes back has to be without ours
    asked = {**conds, WRAPPER_KEY: [{"control": RunMemory(size)}]} if size else conds
    real_model, _conds, models = executor(model, noise_shape, asked, model_options=model_options, **more)
    return real_model, conds, models


def skip_patch(options: Mapping[str, Any]) -> SkipPatch | None:
    """Our patch among a MODEL's transformer_options, which has at most one."""
    patches = options.get("patches", {}).get(OUTPUT_KIND, [])
    return next((patch for patch in patches if isinstance(patch, SkipPatch)), None)


def put(model: ModelPatcher, kind: str, patch: SkipPatch | EncoderPatch) -> None:
    """Put a patch in the place of the MODEL's earlier one, or after all others if it has none."""
    patches = model.model_options["transformer_options"].get("patches", {}).get(kind, [])
    place = next((i for i, other in enumerate(patches) if isinstance(other, type(patch))), None)
    if place is None:
        model.set_model_patch(patch, kind)
    else:
        patches[place] = patch


def _begin(model: ModelPatcher) -> None:
    """Called by ComfyUI before the first step of a run."""
    patch = skip_patch(model.model_options["transformer_options"])
    if patch is not None:
        patch.begin(model.get_model_object("model_sampling"))


def _ensure_cleanup(model: ModelPatcher) -> None:
    """Have SkipPatch.cleanup() called where the host does not do so by itself, as ComfyUI 0.16."""
    if not hasattr(model, "model_patches_call_function"):
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, "scedit", _clean_up_patches)


def _clean_up_patches(model: ModelPatcher) -> None:
    patch = skip_patch(model.model_options["transformer_options"])
    if patch is not None:
        patch.cleanup()
