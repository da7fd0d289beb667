"""The seam to ComfyUI's model patching in training: edits that learn, after those a MODEL has already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed
from torch import Tensor

from ...scedit_core import PreparedEdit, edit_skip
from ...scedit_core.training.memory.recompute import Recompute, layer_handler, recomputed
from ..files.hosted import in_place
from ..patching.patch import INPUT_KIND, OUTPUT_KIND, EncoderPatch, SkipPatch, put, skip_patch

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

_LAYER_KIND = "forward_timestep_embed_patch"


class TrainingPatch:
    """Edits that are being trained, after those that a model clone has already.

    It caches nothing, since each step changes them. Row b of the batch takes row b of the hint features.
    `recompute` says what is remembered for backward.
    """

    def __init__(self, installed: SkipPatch, edits: Sequence[PreparedEdit], recompute: Recompute) -> None:
        self.installed = installed
        self.edits = tuple(edits)
        self.recompute: Recompute = recompute

    def __call__(
        self, h: Tensor, skip: Tensor | None, transformer_options: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Edit the skip that the host is about to hand to an output block, with gradients."""
        if skip is None:
            return h, None
        block = transformer_options["block"][1]
        step = self.installed.current_step(skip, transformer_options)
        edits = (*step.edits, *self.edits)
        return h, recomputed(self.recompute, lambda skip: edit_skip(skip, block, edits, step.latents), skip)


def training_options(
    options: Mapping[str, Any], edits: Sequence[PreparedEdit], recompute: Recompute
) -> dict[str, Any]:
    """A MODEL's transformer_options `options` with edits in training added; `options` stay as they are."""
    patches = dict(options.get("patches", {}))
    others = list(patches.get(OUTPUT_KIND, []))
    place = next((i for i, patch in enumerate(others) if isinstance(patch, SkipPatch)), len(others))
    installed = others[place] if place < len(others) else SkipPatch()
    training = TrainingPatch(installed, edits, recompute)
    patches[OUTPUT_KIND] = [*others[:place], training, *others[place + 1 :]]
    if recompute != "off":
        # last, so that a layer that has another patch's handler keeps it
        handler = layer_handler(recompute, _run_layer)
        patches[_LAYER_KIND] = [*patches.get(_LAYER_KIND, []), (torch.nn.Module, handler)]
    return {**options, "patches": patches}


def _run_layer(layer: Any, x: Tensor, emb: Any, context: Any, options: dict[str, Any], *rest: Any) -> Tensor:
    """Run one layer of a block as the host does without handlers."""
    patches = options["patches"]
    inner = {**options, "patches": {kind: patches[kind] for kind in patches if kind != _LAYER_KIND}}
    x = forward_timestep_embed([layer], x, emb, context, inner, *rest)
    options.update({**inner, "patches": patches})  # the host counts its transformers there
    return x


def hold_in_place(model: ModelPatcher) -> None:
    """Put edits whose weights stay in place between forward and backward where a MODEL has ours."""
    patches = model.model_options["transformer_options"].get("patches", {}).get(OUTPUT_KIND, [])
    patches[:] = [_held(patch) if isinstance(patch, SkipPatch) else patch for patch in patches]
    held = skip_patch(model.model_options["transformer_options"])
    if held is not None and held.edits_encoder:
        put(model, INPUT_KIND, EncoderPatch(held))


def _held(patch: SkipPatch) -> SkipPatch:
    held = {patcher: in_place(patcher) for patcher in patch.models()}
    return SkipPatch([each.held_by(held[each.patcher]) for each in patch.applied])
