"""What the rows of a batch are: which latents, and which area of the picture each chunk of them covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.edit import Area
from ...scedit_core.strength import Rows
from .ready import Chunks

_KEY = "scedit_areas"


def rows_of(rows: int, options: Mapping[str, Any]) -> Rows:
    """What the rows of a batch are: it is chunks (cond, uncond, ...) times latents.

    Raises SCEditError if a context window does not say what each row is.
    """
    prompts = options.get("cond_or_uncond", ()) or (0,)
    count = rows // len(prompts)
    latents, total = _window(options) or (range(count), count)
    if len(latents) != count or count * len(prompts) != rows:
        raise SCEditError(
            f"a context window names {len(latents)} latents, but {count} are computed together, so nobody "
            "knows which hint, mask or weight belongs to which; give one of each for all, or remove what "
            "changes the window"
        )
    return Rows([*latents] * len(prompts), total, [prompt for prompt in prompts for _ in latents])


def one_for_all(rows: int) -> Rows:
    """Rows that all are one latent's, where no hint, mask or strength is one row's alone."""
    return Rows([0] * rows, 1, [0] * rows)


def _window(options: Mapping[str, Any]) -> tuple[Sequence[int], int] | None:
    """Which latents of how many are sampled now, if context windows split a batch (ComfyUI, AnimateDiff)."""
    window = options.get("context_window")
    if window is None:
        animated = options.get("ad_params") or {}
        latents = animated.get("sub_idxs")
        return None if latents is None else (latents, animated.get("full_length") or max(latents) + 1)
    if getattr(window, "dim", 0) != 0:  # it splits another dimension than the batch
        return None
    anchor = getattr(window, "causal_anchor_index", None)  # a latent before the window, computed with it
    latents = [*([] if anchor is None or anchor < 0 else [anchor]), *window.index_list]
    return latents, max(window.total_frames, max(latents) + 1)


class Areas(NamedTuple):
    """The latent's height and width, and the area that each cond covers, by the cond's uuid."""

    size: tuple[int, int]
    by_cond: Mapping[Any, Area]


def publish_areas(
    executor: Any, model: Any, conds: Any, x_in: Tensor, timestep: Tensor, model_options: dict[str, Any]
) -> Any:
    """The host's calc_cond_batch, beside whose options it is told which area each cond covers.

    The host crops the latent to an area and says nothing of it to the patches of the model.
    """
    high, wide = x_in.shape[-2:]
    by_cond = {
        cond["uuid"]: area
        for prompt in conds
        for cond in prompt or ()
        if (area := _area(cond.get("area"), high, wide)) is not None
    }
    if by_cond:
        options = {**model_options.get("transformer_options", {}), _KEY: Areas((high, wide), by_cond)}
        model_options = {**model_options, "transformer_options": options}
    return executor(model, conds, x_in, timestep, model_options)


def _area(given: Any, high: int, wide: int) -> Area | None:
    """Top, left, height and width of an area as the host has it: sizes, then places, of two dimensions."""
    if given is None or len(given) != 4:
        return None
    height, width, top, left = given
    return top, left, min(height, high - top), min(width, wide - left)


def areas_of_chunks(options: Mapping[str, Any]) -> Chunks | None:
    """The whole latent's size and the area of each chunk; None where no chunk of this call has one."""
    areas: Areas | None = options.get(_KEY)
    uuids = options.get("uuids", ())
    if areas is None or not any(uuid in areas.by_cond for uuid in uuids):
        return None
    whole = (0, 0, *areas.size)
    return Chunks(areas.size, [areas.by_cond.get(uuid, whole) for uuid in uuids])
