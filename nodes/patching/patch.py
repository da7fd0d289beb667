"""The seam to ComfyUI's model patching: how edits of skips get into a MODEL, and which of them act in a step.

ComfyUI calls the wrapper `make_ready` before it runs the U-Net, and a SkipPatch at each output block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from ...scedit_core import PreparedEdit, SkipEdit, edit_encoder, edit_skip, prepare_edit
from ...scedit_core.edit import Area
from .conditions import Condition, skip_layout
from .devices import copied_to, follow_devices
from .rows import areas_of_chunks, latents_of_rows, publish_areas, side_by_side

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
        edit = condition.edit_of(model, strength)
        if not edit.is_silent:
            patch = patch.extended(edit, condition.hosted.patcher)
    if patch.edits:
        patch = patch.on_device(model.load_device)
        put(clone, OUTPUT_KIND, patch)
    if patch.edits and earlier is None:
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, WRAPPER_KEY, make_ready)
        clone.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, WRAPPER_KEY, publish_areas)
        _ensure_cleanup(clone)
        follow_devices(clone)
    if patch.edits_encoder:
        put(clone, INPUT_KIND, EncoderPatch(patch))
    return clone


@dataclass(frozen=True)
class Call:
    """One call of the U-Net: its latent's height and width, its rows, and where and in what it computes."""

    size: tuple[int, int]
    rows: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Step:
    """The edits that act in one call, ready for it; `latents[b]` is the number of the latent in row b."""

    edits: tuple[PreparedEdit, ...]
    latents: Tensor | None
    call: Call

    def fits(self, skip: Tensor, size: tuple[int, int]) -> bool:
        """True if it was made for a latent of this size and for what this skip is like."""
        call = self.call
        is_same = call.rows == skip.shape[0] and call.dtype == skip.dtype and call.device == skip.device
        return is_same and call.size == size


@dataclass(eq=False)
class Kept:
    """What a run keeps: edits made ready, the latents of rows, and the noise level that was read last."""

    prepared: dict[tuple[Any, ...], PreparedEdit] = field(default_factory=dict)
    rows: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    sigma: tuple[Tensor, float] | None = None

    def clear(self) -> None:
        """Keep nothing."""
        self.prepared.clear()
        self.rows.clear()
        self.sigma = None


class SkipPatch:
    """All SCEdit edits of one model clone: an `output_block_patch` object, immutable but for its caches.

    Clones of a MODEL share patch objects, and several threads may call one (a device each), so what is kept
    is keyed by device and size, and emptied by the host's cleanup() at the end of each sampling run.
    """

    def __init__(
        self,
        edits: Sequence[SkipEdit] = (),
        patchers: Sequence[ModelPatcher] = (),
        kept: Kept | None = None,
    ) -> None:
        self.edits = tuple(edits)
        self.patchers = tuple(patchers)
        self._kept = kept or Kept()
        self._elsewhere: dict[torch.device, SkipPatch] = {}

    def extended(self, edit: SkipEdit, patcher: ModelPatcher) -> SkipPatch:
        """A new patch with one more edit."""
        return SkipPatch((*self.edits, edit), (*self.patchers, patcher))

    def followed_by(self, other: SkipPatch) -> SkipPatch:
        """The edits of both, for calls of one run: what is kept of these is used again."""
        return SkipPatch((*self.edits, *other.edits), (*self.patchers, *other.patchers), self._kept)

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
    def step(self, call: Call, options: Mapping[str, Any]) -> Step:
        """The edits that act in a call of the U-Net, ready for the latents it works on."""
        active, areas = self._active(options), areas_of_chunks(options)
        if areas is not None:
            return Step(tuple(self._over_areas(edit, call, areas, options) for edit in active), None, call)
        return Step(tuple(self._prepare(edit, call) for edit in active), self._latents(call, options), call)

    @property
    def edits_encoder(self) -> bool:
        """True if it has edits of the encoder, for which the host has another place to call it from."""
        return any(edit.tuners.spec.place == "encoder" for edit in self.edits)

    def on_device(self, device: torch.device) -> SkipPatch:
        """The same edits with tuners of their own on another device; the same patch each time."""
        if all(patcher.load_device == device for patcher in self.patchers):
            return self
        if device not in self._elsewhere:
            self._elsewhere[device] = SkipPatch(*copied_to(device, self.edits, self.patchers))
        return self._elsewhere[device]

    def to(self, device_or_dtype: Any) -> SkipPatch:
        """Itself, as the patchers hold the weights, or that of another device of several."""
        return self._elsewhere.get(device_or_dtype, self)

    def models(self) -> list[ModelPatcher]:
        """The weights that ComfyUI has to load together with the model."""
        return list(dict.fromkeys(self.patchers))

    def cleanup(self) -> None:
        """Called by ComfyUI when a sampling run ends, whether it succeeded or not."""
        self._kept.clear()

    def _active(self, options: Mapping[str, Any]) -> Sequence[SkipEdit]:
        """The edits that act at this step's noise level."""
        if all(edit.is_always_on for edit in self.edits):
            return self.edits
        sigma = self._noise_level(options["sigmas"])
        return [edit for edit in self.edits if edit.acts_at(sigma)]

    def _noise_level(self, sigmas: Tensor) -> float:
        """This step's noise level, read from the device once however often the step calls the U-Net."""
        seen = self._kept.sigma
        if seen is None or seen[0] is not sigmas:
            seen = self._kept.sigma = (sigmas, float(sigmas.max()))
        return seen[1]

    def _prepare(self, edit: SkipEdit, call: Call, area: Area | None = None) -> PreparedEdit:
        """The edit for latents of the call's size, or for this area of them."""
        kept, key = self._kept.prepared, (edit, call.size, call.device, call.dtype, area)
        if key not in kept:
            like = torch.empty(0, device=call.device, dtype=call.dtype)
            kept[key] = prepare_edit(edit, *call.size, like, area)
        return kept[key]

    def _over_areas(
        self, edit: SkipEdit, call: Call, areas: tuple[tuple[int, int], Sequence[Area]], options: Any
    ) -> PreparedEdit:
        """The edit for chunks that each cover an area of the latent."""
        size = areas[0]
        latents = [0] * call.rows if self._is_one_for_all() else latents_of_rows(call.rows, options)
        key = (edit, call, size, *areas[1], *latents)
        if key not in self._kept.prepared:
            whole = replace(call, size=size)
            parts = [
                self._prepare(edit, whole, area) if edit.is_whole else self._prepare(edit, call)
                for area in areas[1]
            ]
            self._kept.prepared[key] = side_by_side(parts, latents)
        return self._kept.prepared[key]

    def _latents(self, call: Call, options: Mapping[str, Any]) -> Tensor | None:
        """Number of the latent in each row, on the device; None where one hint and mask serve all."""
        if self._is_one_for_all():
            return None
        kept, key = self._kept.rows, (call.device, *latents_of_rows(call.rows, options))
        if key not in kept:
            kept[key] = torch.tensor(key[1:], device=call.device)
        return kept[key]

    def _is_one_for_all(self) -> bool:
        images = (image for edit in self.edits for image in (edit.hint, edit.mask))
        return all(image is None or image.shape[0] == 1 for image in images)


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
        options = {**options, STEP_KEY: patch.step(call, options)}
    return executor(x, t, c_concat, c_crossattn, control, options, **conds)


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


def _ensure_cleanup(model: ModelPatcher) -> None:
    """Have SkipPatch.cleanup() called where the host does not do so by itself, as ComfyUI 0.16."""
    if not hasattr(model, "model_patches_call_function"):
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, "scedit", _clean_up_patches)


def _clean_up_patches(model: ModelPatcher) -> None:
    patch = skip_patch(model.model_options["transformer_options"])
    if patch is not None:
        patch.cleanup()
