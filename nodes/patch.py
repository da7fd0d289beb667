"""The seam to ComfyUI's model patching: how edits of skips get into a MODEL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed
from comfy.patcher_extension import CallbacksMP
from torch import Tensor

from ..scedit_core import (
    PreparedEdit,
    SCEditError,
    SkipEdit,
    SkipLayout,
    edit_encoder,
    edit_skip,
    prepare_edit,
)
from ..scedit_core.hint import to_hint, to_mask
from ..scedit_core.training.recompute import Recompute, layer_handler, recomputed
from .hosting import HostedTuners, in_place

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_PATCH_KIND = "output_block_patch"
_INPUT_KIND = "input_block_patch"
_LAYER_KIND = "forward_timestep_embed_patch"


@dataclass(frozen=True, eq=False)
class Condition:
    """A tuner set with what it sees and how it acts; `image` is None for a style."""

    hosted: HostedTuners
    image: Tensor | None = None
    weight: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    mask: Tensor | None = None


class SkipPatch:
    """All SCEdit edits of one model clone: an `output_block_patch` object, immutable but for its cache.

    Clones of a MODEL share patch objects, and several threads may call one (a device each), so the cache of
    encoded hints is keyed by device and size, and emptied by the host's cleanup() at the end of each sampling
    run.
    """

    def __init__(self, edits: Sequence[SkipEdit] = (), patchers: Sequence[ModelPatcher] = ()) -> None:
        self.edits = tuple(edits)
        self.patchers = tuple(patchers)
        self._prepared: dict[tuple[Any, ...], PreparedEdit] = {}

    def extended(self, edit: SkipEdit, patcher: ModelPatcher) -> SkipPatch:
        """A new patch with one more edit."""
        return SkipPatch((*self.edits, edit), (*self.patchers, patcher))

    def in_place(self) -> SkipPatch:
        """The same edits with weights that stay in place between forward and backward."""
        held = {patcher: in_place(patcher) for patcher in self.patchers}
        patchers = [held[patcher] for patcher in self.patchers]
        edits = [replace(edit, tuners=own.model) for edit, own in zip(self.edits, patchers, strict=True)]
        return SkipPatch(edits, patchers)

    # Not traced into a compiled U-Net: each step's noise level would compile it again.
    @torch.compiler.disable
    def __call__(self, h: Tensor, skip: Tensor, transformer_options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Edit the skip that the host is about to hand to an output block."""
        block = transformer_options["block"][1]
        prepared = self.prepared(skip, transformer_options)
        return h, edit_skip(skip, block, prepared, self._latents(skip, transformer_options))

    def edit_input(self, h: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        """Edit what an input block is about to pass on, to the next block and to its skip."""
        block = transformer_options["block"][1]
        prepared = self.prepared(h, transformer_options)
        return edit_encoder(h, block, prepared, self._latents(h, transformer_options))

    @property
    def edits_encoder(self) -> bool:
        """True if it has edits of the encoder, for which the host has another place to call it from."""
        return any(edit.tuners.spec.place == "encoder" for edit in self.edits)

    def prepared(self, skip: Tensor, transformer_options: dict[str, Any]) -> list[PreparedEdit]:
        """The edits that act at this step, ready for the latent it works on."""
        size = tuple(transformer_options["original_shape"][-2:])
        return [self._prepare(index, size, skip) for index in self._active(transformer_options)]

    def to(self, _device_or_dtype: Any) -> SkipPatch:
        """Nothing to move: the patchers hold the weights, and hints are encoded where the skips are."""
        return self

    def models(self) -> list[ModelPatcher]:
        """The weights that ComfyUI has to load together with the model."""
        return list(dict.fromkeys(self.patchers))

    def cleanup(self) -> None:
        """Called by ComfyUI when a sampling run ends, whether it succeeded or not."""
        self._prepared.clear()

    def _active(self, options: dict[str, Any]) -> list[int]:
        """Indices of the edits that act at this step's noise level."""
        if all(edit.is_always_on for edit in self.edits):
            return list(range(len(self.edits)))
        sigma = _sigma(options)
        return [index for index, edit in enumerate(self.edits) if edit.acts_at(sigma)]

    def _prepare(self, index: int, size: tuple[int, ...], skip: Tensor) -> PreparedEdit:
        key = (index, size, skip.device, skip.dtype)
        if key not in self._prepared:
            self._prepared[key] = prepare_edit(self.edits[index], size[0], size[1], skip)
        return self._prepared[key]

    def _latents(self, skip: Tensor, options: dict[str, Any]) -> Tensor | None:
        """Number of the latent in each row: the batch is chunks (cond, uncond, ...) times latents."""
        if all(_is_single(edit.hint) and _is_single(edit.mask) for edit in self.edits):
            return None
        chunks = len(options.get("cond_or_uncond", ())) or 1
        latents = _window(options) or range(skip.shape[0] // chunks)
        return torch.tensor([*latents] * chunks, device=skip.device)


class EncoderPatch:
    """Has a SkipPatch called where ComfyUI lets input blocks be edited; the weights are the SkipPatch's."""

    def __init__(self, patch: SkipPatch) -> None:
        self.patch = patch

    @torch.compiler.disable
    def __call__(self, h: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        """Edit what an input block is about to pass on."""
        return self.patch.edit_input(h, transformer_options)

    def to(self, _device_or_dtype: Any) -> EncoderPatch:
        """Nothing to move."""
        return self


class TrainingPatch:
    """Edits in training, after those a model clone has already; keeps nothing, since each step changes them.

    Row b of the batch takes row b of the hint features. `recompute` says what is remembered for backward.
    """

    def __init__(self, installed: SkipPatch, edits: Sequence[PreparedEdit], recompute: Recompute) -> None:
        self.installed = installed
        self.edits = tuple(edits)
        self.recompute: Recompute = recompute

    def __call__(self, h: Tensor, skip: Tensor, transformer_options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Edit the skip that the host is about to hand to an output block, with gradients."""
        block = transformer_options["block"][1]
        prepared = (*self.installed.prepared(skip, transformer_options), *self.edits)
        return h, recomputed(self.recompute, lambda skip: edit_skip(skip, block, prepared), skip)


def training_options(
    options: Mapping[str, Any], edits: Sequence[PreparedEdit], recompute: Recompute
) -> dict[str, Any]:
    """Transformer_options of a MODEL with edits in training added to its own; `options` stay as they are."""
    patches = dict(options.get("patches", {}))
    others = list(patches.get(_PATCH_KIND, []))
    place = next((i for i, patch in enumerate(others) if isinstance(patch, SkipPatch)), len(others))
    installed = others[place] if place < len(others) else SkipPatch()
    training = TrainingPatch(installed, edits, recompute)
    patches[_PATCH_KIND] = [*others[:place], training, *others[place + 1 :]]
    if recompute != "off":
        # last, so that a layer that has another patch's handler keeps it
        handler = layer_handler(recompute, _run_layer)
        patches[_LAYER_KIND] = [*patches.get(_LAYER_KIND, []), (torch.nn.Module, handler)]
    return {**options, "patches": patches}


def _run_layer(layer: Any, x: Tensor, emb: Any, context: Any, options: dict[str, Any], *rest: Any) -> Tensor:
    """Have the host run one layer of a block, as it does without handlers."""
    patches = options["patches"]
    inner = {**options, "patches": {kind: patches[kind] for kind in patches if kind != _LAYER_KIND}}
    x = forward_timestep_embed([layer], x, emb, context, inner, *rest)
    options.update({**inner, "patches": patches})  # the host counts its transformers there
    return x


def skip_layout(model: ModelPatcher) -> SkipLayout:
    """Skips of a MODEL. Raises SCEditError for one that has none."""
    return SkipLayout.from_unet_config(model.model.model_config.unet_config)


def install(model: ModelPatcher, conditions: Sequence[Condition], strength: float = 1.0) -> ModelPatcher:
    """A clone of the MODEL with these edits added to those it has; the MODEL itself stays as it is.

    Every clone has at most one SkipPatch, so that controls read the unedited skip and not each other's
    results. An edit without effect is left out: the base model's picture comes out bit for bit.
    """
    layout = skip_layout(model)
    clone = model.clone()
    patches = clone.model_options["transformer_options"].get("patches", {})
    earlier = next((p for p in patches.get(_PATCH_KIND, []) if isinstance(p, SkipPatch)), None)
    patch = earlier or SkipPatch()
    for condition in conditions:
        condition.hosted.patcher.model.spec.check_fits(layout, condition.hosted.name)
        edit = _edit(model, condition, strength)
        if not edit.is_silent:
            patch = patch.extended(edit, condition.hosted.patcher)
    if patch.edits:
        _put(clone, _PATCH_KIND, patch)
    if patch.edits and earlier is None:
        _ensure_cleanup(clone)
    if patch.edits_encoder:
        _put(clone, _INPUT_KIND, EncoderPatch(patch))
    return clone


def hold_in_place(model: ModelPatcher) -> None:
    """Give a MODEL of our own edits whose weights stay in place between forward and backward."""
    patches = model.model_options["transformer_options"].get("patches", {}).get(_PATCH_KIND, [])
    patches[:] = [patch.in_place() if isinstance(patch, SkipPatch) else patch for patch in patches]
    for patch in patches:
        if isinstance(patch, SkipPatch) and patch.edits_encoder:
            _put(model, _INPUT_KIND, EncoderPatch(patch))


def _put(model: ModelPatcher, kind: str, patch: SkipPatch | EncoderPatch) -> None:
    """Put a patch in the place of the MODEL's earlier one, or after all others if it has none."""
    patches = model.model_options["transformer_options"].get("patches", {}).get(kind, [])
    place = next((i for i, other in enumerate(patches) if isinstance(other, type(patch))), None)
    if place is None:
        model.set_model_patch(patch, kind)
    else:
        patches[place] = patch


def _ensure_cleanup(model: ModelPatcher) -> None:
    """Have SkipPatch.cleanup() called where the host does not do so by itself, as ComfyUI 0.16."""
    if not hasattr(model, "model_patches_call_function"):
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, "scedit", _clean_up_patches)


def _clean_up_patches(model: ModelPatcher) -> None:
    for patch in model.model_options["transformer_options"].get("patches", {}).get(_PATCH_KIND, []):
        if isinstance(patch, SkipPatch):
            patch.cleanup()


def _edit(model: ModelPatcher, condition: Condition, strength: float) -> SkipEdit:
    sigma_start, sigma_end = _sigma_window(model, condition.start_percent, condition.end_percent)
    return SkipEdit(
        condition.hosted.patcher.model,
        strength * condition.weight,
        hint=None if condition.image is None else to_hint(condition.image),
        mask=None if condition.mask is None else to_mask(condition.mask),
        sigma_start=sigma_start,
        sigma_end=sigma_end,
    )


def _sigma_window(model: ModelPatcher, start_percent: float, end_percent: float) -> tuple[float, float]:
    """Noise levels between which an edit acts; percents of 0 and 1 take in the first and last step."""
    if not 0 <= start_percent <= end_percent <= 1:
        raise SCEditError(
            f"start_percent and end_percent must lie in order between 0 and 1, got {start_percent} and "
            f"{end_percent}; 0 is the first step and 1 the last"
        )
    sampling = model.get_model_object("model_sampling")
    return (
        sampling.percent_to_sigma(start_percent) if start_percent > 0 else math.inf,
        sampling.percent_to_sigma(end_percent) if end_percent < 1 else 0.0,
    )


def _sigma(options: dict[str, Any]) -> float:
    """This step's noise level, read from the device once per step and kept in the step's own dictionary."""
    sigmas = options["sigmas"]
    seen = options.get("scedit_sigma")
    if seen is None or seen[0] is not sigmas:
        seen = options["scedit_sigma"] = (sigmas, float(sigmas.max()))
    return seen[1]


def _window(options: dict[str, Any]) -> list[int] | None:
    """Which latents of the batch are sampled now, if context windows split it (ComfyUI, AnimateDiff)."""
    window = options.get("context_window")
    if window is not None:
        return list(window.index_list)
    return (options.get("ad_params") or {}).get("sub_idxs")


def _is_single(images: Tensor | None) -> bool:
    return images is None or images.shape[0] == 1
