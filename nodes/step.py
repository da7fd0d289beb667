"""The moment before a U-Net runs: which edits act in this call of it, and for which latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..scedit_core import PreparedEdit, SCEditError

if TYPE_CHECKING:
    from .patch import SkipPatch

KEY = "scedit_step"


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
    sigmas: Tensor | None
    window: Any

    def fits(self, call: Call, options: dict[str, Any]) -> bool:
        """True if it was made for this very call and not for an earlier one with the same dictionary."""
        same_step = self.sigmas is options.get("sigmas") and self.window is options.get("context_window")
        return same_step and self.call == call


def make_ready(find: Callable[[dict[str, Any]], SkipPatch | None]) -> Callable[..., Tensor]:
    """A wrapper for the host's apply_model that has edits made ready before the U-Net, not inside it.

    `find` finds the edits among `transformer_options`. What a step has to read from the device (its noise
    level, if an edit has a window) and to send to it is done here, while nothing of the U-Net is alive.
    """

    def wrapper(
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **conds: Any,
    ) -> Tensor:
        options = transformer_options or {}
        patch = find(options)
        if patch is not None:
            call = Call(_size(x), x.shape[0], x.device, executor.class_obj.get_dtype_inference())
            options = {**options, KEY: patch.step(call, options)}
        return executor(x, t, c_concat, c_crossattn, control, options, **conds)

    return wrapper


def current_step(patch: SkipPatch, skip: Tensor, options: dict[str, Any]) -> Step:
    """The step that was made ready for this call, or, where a U-Net is called directly, one made now."""
    call = Call(tuple(options["original_shape"][-2:]), skip.shape[0], skip.device, skip.dtype)
    step = options.get(KEY)
    if step is None or not step.fits(call, options):
        step = options[KEY] = patch.step(call, options)
    return step


def latents_of_rows(rows: int, options: dict[str, Any]) -> list[int]:
    """Number of the latent in each row: the batch is chunks (cond, uncond, ...) times latents.

    Raises SCEditError if a context window does not say what each row is.
    """
    chunks = len(options.get("cond_or_uncond", ())) or 1
    latents = _window(options)
    if latents is None:
        return [*range(rows // chunks)] * chunks
    if len(latents) * chunks != rows:
        raise SCEditError(
            f"a context window names {len(latents)} latents, but {rows // chunks} are computed together, so "
            "nobody knows which hint or mask belongs to which; give one hint and one mask for all, or remove "
            "what changes the window"
        )
    return [*latents] * chunks


def _window(options: dict[str, Any]) -> Sequence[int] | None:
    """Which latents of the batch are sampled now, if context windows split it (ComfyUI, AnimateDiff)."""
    window = options.get("context_window")
    if window is None:
        return (options.get("ad_params") or {}).get("sub_idxs")
    if getattr(window, "dim", 0) != 0:  # it splits another dimension than the batch
        return None
    anchor = getattr(window, "causal_anchor_index", None)  # a latent before the window, computed with it
    return [*([] if anchor is None or anchor < 0 else [anchor]), *window.index_list]


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
