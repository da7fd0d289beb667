"""The seam to ComfyUI's model patching: how edits of skips get into a MODEL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.patcher_extension import CallbacksMP, WrappersMP
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
from .hosting import HostedTuners, in_place
from .step import Call, Step, current_step, latents_of_rows, make_ready

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

OUTPUT_KIND = "output_block_patch"
INPUT_KIND = "input_block_patch"


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
        self._rows: dict[tuple[Any, ...], Tensor] = {}
        self._sigma: tuple[Tensor, float] | None = None

    def extended(self, edit: SkipEdit, patcher: ModelPatcher) -> SkipPatch:
        """A new patch with one more edit."""
        return SkipPatch((*self.edits, edit), (*self.patchers, patcher))

    def in_place(self) -> SkipPatch:
        """The same edits with weights that stay in place between forward and backward."""
        held = {patcher: in_place(patcher) for patcher in self.patchers}
        patchers = [held[patcher] for patcher in self.patchers]
        edits = [replace(edit, tuners=own.model) for edit, own in zip(self.edits, patchers, strict=True)]
        return SkipPatch(edits, patchers)

    # Not traced into a compiled U-Net: each step's edits would compile it again.
    @torch.compiler.disable
    def __call__(
        self, h: Tensor, skip: Tensor | None, transformer_options: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Edit the skip that the host is about to hand to an output block; None if a patch took it away."""
        if skip is None:
            return h, None
        step = current_step(self, skip, transformer_options)
        return h, edit_skip(skip, transformer_options["block"][1], step.edits, step.latents)

    def edit_input(self, h: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        """Edit what an input block is about to pass on, to the next block and to its skip."""
        step = current_step(self, h, transformer_options)
        return edit_encoder(h, transformer_options["block"][1], step.edits, step.latents)

    def step(self, call: Call, options: dict[str, Any]) -> Step:
        """The edits that act in a call of the U-Net, ready for the latents it works on."""
        edits = tuple(self._prepare(index, call) for index in self._active(options))
        window = options.get("context_window")
        return Step(edits, self._latents(call, options), call, options.get("sigmas"), window)

    @property
    def edits_encoder(self) -> bool:
        """True if it has edits of the encoder, for which the host has another place to call it from."""
        return any(edit.tuners.spec.place == "encoder" for edit in self.edits)

    def to(self, _device_or_dtype: Any) -> SkipPatch:
        """Nothing to move: the patchers hold the weights, and hints are encoded where the skips are."""
        return self

    def models(self) -> list[ModelPatcher]:
        """The weights that ComfyUI has to load together with the model."""
        return list(dict.fromkeys(self.patchers))

    def cleanup(self) -> None:
        """Called by ComfyUI when a sampling run ends, whether it succeeded or not."""
        self._prepared.clear()
        self._rows.clear()
        self._sigma = None

    def _active(self, options: dict[str, Any]) -> list[int]:
        """Indices of the edits that act at this step's noise level."""
        if all(edit.is_always_on for edit in self.edits):
            return list(range(len(self.edits)))
        sigma = self._noise_level(options["sigmas"])
        return [index for index, edit in enumerate(self.edits) if edit.acts_at(sigma)]

    def _noise_level(self, sigmas: Tensor) -> float:
        """This step's noise level, read from the device once however often the step calls the U-Net."""
        seen = self._sigma
        if seen is None or seen[0] is not sigmas:
            seen = self._sigma = (sigmas, float(sigmas.max()))
        return seen[1]

    def _prepare(self, index: int, call: Call) -> PreparedEdit:
        key = (index, call.size, call.device, call.dtype)
        if key not in self._prepared:
            like = torch.empty(0, device=call.device, dtype=call.dtype)
            self._prepared[key] = prepare_edit(self.edits[index], *call.size, like)
        return self._prepared[key]

    def _latents(self, call: Call, options: dict[str, Any]) -> Tensor | None:
        """Number of the latent in each row, on the device; None where one hint and mask serve all."""
        if all(_is_single(edit.hint) and _is_single(edit.mask) for edit in self.edits):
            return None
        key = (call.device, *latents_of_rows(call.rows, options))
        if key not in self._rows:
            self._rows[key] = torch.tensor(key[1:], device=call.device)
        return self._rows[key]


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


def skip_layout(model: ModelPatcher) -> SkipLayout:
    """Skips of a MODEL. Raises SCEditError for one that has none."""
    return SkipLayout.from_unet_config(model.model.model_config.unet_config)


def skip_patch(options: Mapping[str, Any]) -> SkipPatch | None:
    """Our patch among a MODEL's transformer_options, which has at most one."""
    patches = options.get("patches", {}).get(OUTPUT_KIND, [])
    return next((patch for patch in patches if isinstance(patch, SkipPatch)), None)


def install(model: ModelPatcher, conditions: Sequence[Condition], strength: float = 1.0) -> ModelPatcher:
    """A clone of the MODEL with these edits added to those it has; the MODEL itself stays as it is.

    Every clone has at most one SkipPatch, so that controls read the unedited skip and not each other's
    results. An edit without effect is left out: the base model's picture comes out bit for bit.
    """
    layout = skip_layout(model)
    clone = model.clone()
    earlier = skip_patch(clone.model_options["transformer_options"])
    patch = earlier or SkipPatch()
    for condition in conditions:
        condition.hosted.patcher.model.spec.check_fits(layout, condition.hosted.name)
        edit = _edit(model, condition, strength)
        if not edit.is_silent:
            patch = patch.extended(edit, condition.hosted.patcher)
    if patch.edits:
        put(clone, OUTPUT_KIND, patch)
    if patch.edits and earlier is None:
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "scedit", make_ready(skip_patch))
        _ensure_cleanup(clone)
    if patch.edits_encoder:
        put(clone, INPUT_KIND, EncoderPatch(patch))
    return clone


def put(model: ModelPatcher, kind: str, patch: SkipPatch | EncoderPatch) -> None:
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
    patch = skip_patch(model.model_options["transformer_options"])
    if patch is not None:
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


def _is_single(images: Tensor | None) -> bool:
    return images is None or images.shape[0] == 1
