"""Tuners in the layout of the authors' published folders, for their framework and others that read it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..control import CSCTunerSet
from ..errors import SCEditError
from ..spec import STEM_WIDTHS, HintSpec, TunerSpec
from ..tuner import SCTunerSet
from .layouts import FORMATS, DetectedFormat
from .published_folder import (
    ADAPTER,
    CONTROL_WEIGHTS,
    NO_SETTINGS,
    SETTINGS,
    STYLE_SETTINGS,
    STYLE_WEIGHTS,
    settings_text,
    write_adapter,
)

__all__ = ["ADAPTER", "write_published"]


def write_published(tuners: SCTunerSet | CSCTunerSet, folder: Path) -> None:
    """Write tuners as a published folder, in place of one that was written here before; see `write_adapter`.

    Raises SCEditError for forms that the authors' layout has no place for, for a folder that holds anything
    else, and if it cannot be written.
    """
    adapter, settings = _contents(tuners)
    write_adapter(folder, adapter, settings)


def _contents(tuners: SCTunerSet | CSCTunerSet) -> tuple[dict[str, bytes], bytes | None]:
    """The files of the adapter in a published folder, by name, and the settings beside it."""
    spec = tuners.spec
    if spec.op != "adapter":
        raise SCEditError(
            f"the authors' layout knows adapters alone, this tuner's op is '{spec.op}'; save it in "
            "the SCEdit layout"
        )
    if spec.place != "skip":
        raise SCEditError(
            "the authors' layout has no place for tuners of the encoder; save this one in the SCEdit layout"
        )
    state = tuners.state_dict()
    if spec.hint is None:
        weights = save(_renamed(state, "swift SC-Tuner", spec))
        return {STYLE_SETTINGS: settings_text(_style_config(spec)), STYLE_WEIGHTS: weights}, NO_SETTINGS
    config = _control_config(spec, spec.hint)
    buffer = io.BytesIO()  # through a buffer, because the archive would otherwise hold the file's name
    torch.save(_renamed(state, "scepter CSC-Tuner", spec), buffer)
    return {SETTINGS: settings_text({"CONTROL_MODEL": config}), CONTROL_WEIGHTS: buffer.getvalue()}, None


def _renamed(state: Mapping[str, Tensor], layout: str, spec: TunerSpec) -> dict[str, Tensor]:
    """Tensors under the names of a layout, on the CPU."""
    row = next(row for row in FORMATS if row.name == layout)
    blocks = len(spec.hint.features) if spec.hint else 1 + max(spec.channels)
    prefix = "model." if spec.kind == "sc" else ""
    names = DetectedFormat(row, {"prefix": prefix, "adapter": ADAPTER}, blocks)
    return {names.in_file(key): value.detach().cpu().contiguous() for key, value in state.items()}


def _style_config(spec: TunerSpec) -> dict[str, Any]:
    """adapter_config.json as ms-swift writes it."""
    blocks = sorted(spec.channels)
    all_blocks = blocks == list(range(len(blocks)))
    numbers = r"\d+" if all_blocks else f"({'|'.join(map(str, blocks))})"
    return {
        "dims": [spec.channels[block] for block in blocks],
        "down_ratio": _down_ratio(spec),
        "hint_modules": None,
        "model_key_mapping": None,
        "swift_type": "SCETuning",
        "target_modules": rf"model.lsc_identity\.{numbers}$",
        "tuner_mode": "identity",
        "tuner_op": "SCEAdapter",
    }


def _control_config(spec: TunerSpec, hint: HintSpec) -> dict[str, Any]:
    """The CONTROL_MODEL block of a published controller. Raises SCEditError for what it has no words for."""
    if hint.bottlenecks is not None:
        raise SCEditError(
            "the authors' layout has no dual convs in its hint encoder; save this control in the SCEdit "
            "layout"
        )
    count = len(hint.features)
    dense = {count - 1 - block for block in hint.dense}
    if dense != set(spec.channels):
        raise SCEditError(
            f"the authors' layout names tuners and dense hint convs by one list, but this control has tuners "
            f"at {sorted(spec.channels)} and convs at {sorted(dense)}; save it in the SCEdit layout"
        )
    ratio = _down_ratio(spec)
    chosen = {} if len(dense) == count else {"USE_LAYERS": sorted(dense)}
    return {
        "NAME": "CSCTuners",
        "PRE_HINT_IN_CHANNELS": hint.stem[0],
        "PRE_HINT_OUT_CHANNELS": hint.stem[-1],
        "DENSE_HINT_KERNAL": hint.kernel,
        "PRE_HINT_DIM_RATIO": hint.stem[1] / STEM_WIDTHS[0],
        "SCALE": 1.0,
        "DOWN_RATIO": ratio,  # read here for controls, and below by people
        "SC_TUNER_CFG": {"NAME": "SCTuner", "TUNER_NAME": "SCEAdapter", "DOWN_RATIO": ratio},
        "INPUT_BLOCK_CHANS": list(reversed(hint.features)),
        "INPUT_DOWN_FLAG": [stride == 2 for stride in reversed(hint.strides)],
        **chosen,
    }


def _down_ratio(spec: TunerSpec) -> float:
    """A ratio r with `int(width * r) == rank` at every block, as the authors' code computes ranks."""
    pairs = [(spec.ranks[block], width) for block, width in spec.channels.items()]
    low, high = max(rank / width for rank, width in pairs), min((rank + 1) / width for rank, width in pairs)
    for ratio in (low, (low + high) / 2):
        if all(int(width * ratio) == rank for rank, width in pairs):
            return ratio
    raise SCEditError(
        f"the authors' layout has one ratio for all ranks, this tuner's ranks are {dict(spec.ranks)}; save "
        "it in the SCEdit layout"
    )
