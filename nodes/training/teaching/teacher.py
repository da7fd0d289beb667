"""A MODEL as the teacher of a training, loaded beside the one that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor

from ....scedit_core.training import Batch
from ....scedit_core.training.dataset.examples import unit
from ....scedit_core.training.sketch import Sketch
from ...patching.patch import EncoderPatch, SkipPatch, skip_patch
from ..base_model import HostModel, call_options
from ..captions import Captions
from ..model_sketch import sketch_model
from .controls import Controls
from .shared import SharedNetwork

_PLACES = ("patches", "patches_replace")  # of transformer_options, where nodes put what may ask for the noise


class HostTeacher:
    """A loaded MODEL that is only asked; a `scedit_core.training.Teacher`.

    `shared` is given where it lies in the network that is trained on. Where anything of it may act otherwise
    at another noise level, pictures are computed one by one, since the host has one level for a call.
    """

    def __init__(
        self, patcher: Any, captions: Captions, controls: Controls | None, shared: SharedNetwork | None
    ) -> None:
        self._patcher = patcher
        self._model = patcher.model
        self._captions = captions
        self._controls = controls
        self._shared = shared
        self._device: torch.device = patcher.load_device
        options = patcher.model_options["transformer_options"]
        wrappers = comfy.patcher_extension.merge_nested_dicts(options.get("wrappers", {}), patcher.wrappers)
        self._options = {**options, "wrappers": wrappers}
        self._is_inverted = False
        self._sketches: dict[str, Sketch] = {}
        self._is_steady = _is_steady(patcher) and (controls is None or controls.is_steady)

    def begin(self, hint: str) -> None:
        """Make ready for the first call; it reads a `hint` as it is ("same") or "inverted"."""
        self._is_inverted = hint == "inverted"
        self._sketches = sketch_model(self._patcher)
        with torch.inference_mode(), self._place():
            self._patcher.pre_run()
            if self._controls is not None:
                self._controls.begin(self._model)
                self._sketches["controls"] = self._controls.sketch(hint)

    def denoised(self, noisy: Tensor, sigma: Tensor, batch: Batch) -> Tensor:
        """Its picture `(B, C, h, w)`, float32, of a batch's latents with noise of levels `(B,)`."""
        conds = [self._captions.prepared(caption, tuple(noisy.shape[1:])) for caption in batch.captions]
        x, level = noisy.to(self._device), sigma.to(self._device)
        count = len(conds) if self._is_steady else 1
        with torch.inference_mode(), self._place(), self._precision():
            pictures = [
                self._picture(x[rows], level[rows], conds[rows], [hint[rows] for hint in batch.hints])
                for rows in (slice(first, first + count) for first in range(0, len(conds), count))
            ]
        # an ordinary tensor again, which autograd may save
        return torch.cat(pictures).to(noisy.device, torch.float32).clone()

    def memory(self, shape: tuple[int, int, int, int]) -> int:
        """Bytes that a call works in for latents of this shape, as the host estimates them."""
        rows, *sides = shape
        needed = int(self._model.memory_required([rows if self._is_steady else 1, *sides]))
        if self._controls is not None:
            needed += self._controls.memory(self._model.get_dtype_inference())
        return needed

    def sketches(self) -> dict[str, Sketch]:
        """What a training state remembers of it."""
        return self._sketches

    def end(self) -> None:
        """Let go of what was kept for the run."""
        if self._controls is not None:
            self._controls.cleanup()
        self._patcher.cleanup()
        if self._shared is not None:  # the host does so for models that it loaded
            self._patcher.model_patches_to(self._patcher.offload_device)

    def _picture(self, noisy: Tensor, sigma: Tensor, conds: list[Any], hints: list[Tensor]) -> Tensor:
        options = {**self._options, **call_options(sigma)}
        inputs = comfy.samplers.cond_cat(conds)
        if self._controls is not None:
            seen = [unit(hint.to(self._device)) for hint in hints]
            self._controls.follow([1 - hint if self._is_inverted else hint for hint in seen], self._model)
            inputs["control"] = self._controls.residuals(noisy, sigma, inputs, options)
        inputs["transformer_options"] = options
        wrapper = self._patcher.model_options.get("model_function_wrapper")
        if wrapper is None:
            return self._model.apply_model(noisy, sigma, **inputs)
        called = {"input": noisy, "timestep": sigma, "c": inputs, "cond_or_uncond": [0]}
        return wrapper(self._model.apply_model, called)

    def _place(self) -> AbstractContextManager[None]:
        return nullcontext() if self._shared is None else self._shared.lent()

    def _precision(self) -> AbstractContextManager[Any]:
        """In a network of its own it computes as in sampling, in one that is shared as the student does."""
        if self._shared is not None:
            return nullcontext()
        return torch.autocast(self._device.type, enabled=False)


@contextmanager
def at_work(teacher: HostTeacher, hint: str, base: HostModel) -> Iterator[HostTeacher]:
    """Within, it can be asked; it is left as it was found."""
    teacher.begin(hint)
    try:
        yield teacher
    finally:
        teacher.end()
        base.patcher.model.current_patcher = base.patcher  # cleaning up took it from a network that is shared


def _is_steady(patcher: Any) -> bool:
    """Whether nothing that nodes put on a MODEL may act otherwise at another noise level."""
    options = patcher.model_options["transformer_options"]
    ours, others = skip_patch(options), []
    for place in _PLACES:
        for patches in options.get(place, {}).values():
            others += patches.values() if isinstance(patches, dict) else patches
    if any(not isinstance(patch, (SkipPatch, EncoderPatch)) for patch in others):
        return False
    if "model_function_wrapper" in patcher.model_options:
        return False
    return ours is None or all(edit.is_always_on for edit in ours.edits)
