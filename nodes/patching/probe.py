"""Runs a U-Net with skips scaled and edits off, and reads what its decoder makes; for one call, on no MODEL.

Everything lies among the options of a call, as the host's samplers change them from call to call: no clone,
no patch and no hook is there before or after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..files.hosted import name_of
from .patch import INPUT_KIND, OUTPUT_KIND, EncoderPatch, SkipPatch, skip_patch

_KEY = "scedit_probe"
_untraced: Any = torch.compiler.disable  # of a compiled U-Net: each variant would be a program of its own


@dataclass(frozen=True)
class Variant:
    """A way to run a U-Net.

    `scales[block]` is what the skip of an output block is multiplied by after all edits (0 removes it), and
    at the blocks `off[n]` the MODEL's n-th edit is off.
    """

    scales: Mapping[int, float] = field(default_factory=dict)
    off: Mapping[int, Collection[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class EditOfModel:
    """What a MODEL's edit is called, its kind, where it acts, and at which blocks."""

    name: str
    kind: str
    place: str
    blocks: tuple[int, ...]


def edits_of(model: Any) -> list[EditOfModel]:
    """The edits that a MODEL has by nodes of ours, in their order; those of prompts are not among them."""
    patch = skip_patch(model.model_options["transformer_options"])
    found = []
    for applied in () if patch is None else patch.applied:
        edit, spec = applied.at(), applied.patcher.model.spec
        blocks = tuple(block for block in sorted(spec.channels) if edit.acts_on(block))
        found.append(EditOfModel(name_of(applied.patcher), spec.kind, spec.place, blocks))
    return found


class Probe:
    """One variant, and what came out of the output blocks that are watched: `outputs[block]` `(C, H, W)`.

    It is read once, of the first row of the first call, as float32 in memory: other rows are other latents or
    prompts.
    """

    def __init__(self, variant: Variant, watched: Sequence[int] = ()) -> None:
        self._variant = variant
        self._watched = frozenset(watched)
        self.outputs: dict[int, Tensor] = {}

    def options(self, model_options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a call of the model with this variant; those that came in stay as they are."""
        options = dict(model_options.get("transformer_options", {}))
        patches, wrappers = dict(options.get("patches", {})), dict(options.get("wrappers", {}))
        installed = skip_patch(options)
        if installed is not None and self._variant.off:
            muted = installed.muted(self._variant.off)
            for kind in {OUTPUT_KIND, INPUT_KIND} & patches.keys():
                patches[kind] = [_instead(patch, installed, muted) for patch in patches[kind]]
        kind = WrappersMP.DIFFUSION_MODEL
        wrappers[kind] = {**wrappers.get(kind, {}), _KEY: [self]}
        return {
            **model_options,
            "transformer_options": {**options, "patches": patches, "wrappers": wrappers},
        }

    @_untraced
    def __call__(
        self,
        executor: Any,
        x: Tensor,
        timesteps: Any = None,
        context: Any = None,
        y: Any = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Tensor:
        """The host's call of the U-Net, with all patches in place: ours read first and scale last."""
        options = dict(transformer_options or {})
        patches = options.get("patches", {})
        options["patches"] = {
            **patches,
            OUTPUT_KIND: [self._read, *patches.get(OUTPUT_KIND, ()), self._scale],
        }
        network = executor.class_obj
        last = len(network.output_blocks) - 1
        handle = network.out.register_forward_pre_hook(lambda _module, given: self._keep(last, given[0]))
        try:
            return executor(x, timesteps, context, y, control, options, **more)
        finally:
            handle.remove()

    def _read(
        self, h: Tensor, skip: Tensor | None, options: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """What reaches an output block is what the one before it put out."""
        self._keep(options["block"][1] - 1, h)
        return h, skip

    def _scale(
        self, h: Tensor, skip: Tensor | None, options: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        factor = self._variant.scales.get(options["block"][1], 1.0)
        if skip is None or factor == 1:
            return h, skip
        # not multiplied by 0, which would keep what is infinite or no number
        return h, torch.zeros_like(skip) if factor == 0 else skip * factor

    def _keep(self, block: int, h: Tensor) -> None:
        if block in self._watched and block not in self.outputs:
            self.outputs[block] = h[0].detach().to("cpu", torch.float32, copy=True)


def _instead(patch: Any, installed: SkipPatch, muted: SkipPatch) -> Any:
    """A MODEL's patch, or in the place of ours the muted one."""
    if patch is installed:
        return muted
    return EncoderPatch(muted) if isinstance(patch, EncoderPatch) else patch
