"""What the rows of a batch are: which latents, and which area of the picture each chunk of them covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...scedit_core import PreparedEdit, SCEditError
from ...scedit_core.edit import Area
from ...scedit_core.hint import cycled

_KEY = "scedit_areas"


def latents_of_rows(rows: int, options: Mapping[str, Any]) -> list[int]:
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


def _window(options: Mapping[str, Any]) -> Sequence[int] | None:
    """Which latents of the batch are sampled now, if context windows split it (ComfyUI, AnimateDiff)."""
    window = options.get("context_window")
    if window is None:
        return (options.get("ad_params") or {}).get("sub_idxs")
    if getattr(window, "dim", 0) != 0:  # it splits another dimension than the batch
        return None
    anchor = getattr(window, "causal_anchor_index", None)  # a latent before the window, computed with it
    return [*([] if anchor is None or anchor < 0 else [anchor]), *window.index_list]


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


def areas_of_chunks(options: Mapping[str, Any]) -> tuple[tuple[int, int], list[Area]] | None:
    """The whole latent's size and the area of each chunk; None where no chunk of this call has one."""
    areas: Areas | None = options.get(_KEY)
    uuids = options.get("uuids", ())
    if areas is None or not any(uuid in areas.by_cond for uuid in uuids):
        return None
    whole = (0, 0, *areas.size)
    return areas.size, [areas.by_cond.get(uuid, whole) for uuid in uuids]


def side_by_side(parts: Sequence[PreparedEdit], latents: Sequence[int]) -> PreparedEdit:
    """One edit for all rows of a batch, of the same edit made ready for each chunk's area.

    `latents[r]` is the number of the latent in row r of all chunks: each row gets features of its own.
    """
    rows = torch.tensor(latents).chunk(len(parts))
    first = parts[0]
    features = first.features and tuple(
        _rows([part.features[block] for part in parts if part.features], rows)
        for block in range(len(first.features))
    )
    masks = [part.mask for part in parts if part.mask is not None]
    return PreparedEdit(first.edit, features, _rows(masks, rows) if masks else None, first.strength)


def _rows(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    each = (cycled(part, numbers.to(part.device)) for part, numbers in zip(parts, rows, strict=True))
    return torch.cat(list(each))
