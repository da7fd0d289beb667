"""Tuner files to tuner sets and back: kind and sizes are read off the shapes, every key is accounted for."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..control import CSCTunerSet
from ..errors import SCEditError, shown
from ..spec import TunerSpec
from ..tuner import Layers, SCTunerSet, Unset
from ..unet import LEVEL_SIZES, SD1, SD2, family_names, stated_base
from .disk import TensorFile, read_tensors, write_tensors
from .layouts import DetectedFormat, detect_format
from .limits import MOST_BLOCKS, MOST_TENSORS
from .shapes import infer_spec

_LAYOUT_VERSION = "1"
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_STORED_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class Checkpoint:
    """A tuner file, understood: its sizes, its tensors under our names, and what it says of itself.

    `notes` are sentences about choices that were made in reading it, for the user to know.
    """

    spec: TunerSpec
    state_dict: Mapping[str, Tensor]
    format_name: str
    metadata: Mapping[str, str]
    path: Path
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a tuner file or published folder. Raises SCEditError, in one sentence, for anything else."""
    return _read(Path(path), Unset)[0]


def read_tuners(
    path: str | os.PathLike[str], operations: Any = Unset, *, mapped: bool = True
) -> tuple[Checkpoint, SCTunerSet | CSCTunerSet]:
    """What `read_checkpoint` says of a file, and what `load_checkpoint` makes of it, in one reading.

    The weights stay in the file until they are used unless `mapped` is off; see `read_tensors`.
    """
    checkpoint, tuners = _read(Path(path), operations, mapped=mapped)
    if _is_lazy(tuners):
        _fill(tuners, checkpoint.state_dict)
        return checkpoint, tuners
    # every key was looked at: load_state_dict, which does so again, takes a twentieth of all the reading
    layers = dict(tuners.named_modules())
    for key, tensor in _working(checkpoint.state_dict).items():
        layer, _, name = key.rpartition(".")
        setattr(layers[layer], name, nn.Parameter(tensor))
    return checkpoint, tuners


def _read(
    place: Path, operations: Any, *, mapped: bool = True
) -> tuple[Checkpoint, SCTunerSet | CSCTunerSet]:
    """The file, checked against the tuners it asks for, which are still without weights."""
    raw = read_tensors(place, mapped=mapped)
    try:
        _check_tensors(raw)
        detected = _detect(raw)
        state_dict = {detected.canonical(key): tensor for key, tensor in raw.tensors.items()}
        shapes = {key: tuple(t.shape) for key, t in state_dict.items()}
        spec = infer_spec(shapes, _stated_strides(raw), detected.format.ops)
        base = stated_base(raw.metadata, raw.config)
        if base and any(base in name for name in spec.families):
            spec = replace(spec, base=base)
        tuners = build_tuners(spec, operations=operations, device=torch.device("meta"))
        _check_keys(_sized(tuners).state_dict(), state_dict, detected)
        _check_finite(raw.tensors)
    except SCEditError as error:
        raise SCEditError(f"'{shown(place.name)}': {error}") from error
    notes = (*raw.notes, *_notes(spec))
    name = detected.format.name
    return Checkpoint(spec, state_dict, name, raw.metadata, raw.path, raw.config, notes), tuners


def _sized(tuners: SCTunerSet | CSCTunerSet) -> SCTunerSet | CSCTunerSet:
    """These tuners, or the same of PyTorch's layers if a host's have no weights until they are filled."""
    if not _is_lazy(tuners):
        return tuners
    return build_tuners(tuners.spec, operations=Unset, device=torch.device("meta"))


def _is_lazy(tuners: nn.Module) -> bool:
    """True if its linear layers have no weights until they are filled; a set without such a layer has none.

    ComfyUI's are so where it has dynamic VRAM, as on NVIDIA by default.
    """
    layers = (layer for layer in tuners.modules() if isinstance(layer, nn.Linear))
    return next((layer.weight is None for layer in layers), False)


def build_tuners(
    spec: TunerSpec,
    *,
    operations: Any = Layers,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> SCTunerSet | CSCTunerSet:
    """Untrained tuners of these sizes."""
    kind = SCTunerSet if spec.kind == "sc" else CSCTunerSet
    return kind(spec, operations=operations, device=device, dtype=dtype)


def fill_tuners(
    spec: TunerSpec, state_dict: Mapping[str, Tensor], *, operations: Any = Layers
) -> SCTunerSet | CSCTunerSet:
    """Tuners of these sizes and weights, which are taken over and not copied unless their dtypes differ.

    Tensors of a memory-mapped file stay mapped: no memory is taken until they are used.
    """
    tuners = build_tuners(spec, operations=operations, device=torch.device("meta"))
    _fill(tuners, state_dict)
    return tuners


def _fill(tuners: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    tuners.load_state_dict(_working(state_dict), assign=True)


def load_checkpoint(path: str | os.PathLike[str], operations: Any = Unset) -> SCTunerSet | CSCTunerSet:
    """Tuners of a file or published folder, on the CPU, in the file's dtype, with layers of `operations`."""
    return read_tuners(path, operations)[1]


def save_checkpoint(
    tuners: SCTunerSet | CSCTunerSet, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tuners as safetensors with string metadata; the file appears whole or not at all.

    Raises SCEditError if the place cannot be written; a file that was there stays as it was.
    """
    own = {"scedit.layout": _LAYOUT_VERSION, "scedit.kind": tuners.spec.kind, "scedit.op": tuners.spec.op}
    if tuners.spec.hint is not None:
        own["scedit.strides"] = ",".join(map(str, tuners.spec.hint.strides))
    if tuners.spec.base is not None:
        own["scedit.family"] = tuners.spec.base
    tensors = {key: value.detach().contiguous() for key, value in tuners.state_dict().items()}
    write_tensors(Path(path), tensors, {**(metadata or {}), **own})


def _detect(raw: TensorFile) -> DetectedFormat:
    """The file's layout; where diffusers' keys leave gaps, levels are counted as in a U-Net we know."""
    detected = detect_format(raw.tensors.keys(), _stated_blocks(raw))
    for size in LEVEL_SIZES if detected.is_counted else ():
        candidate = replace(detected, per_level=size)
        shapes = {candidate.canonical(key): tuple(tensor.shape) for key, tensor in raw.tensors.items()}
        spec = infer_spec(shapes, None, detected.format.ops)
        from_input = spec.place == "encoder"
        fits = family_names(spec.channels, from_input=from_input, per_level=size)
        if fits and size >= detected.per_level and len(shapes) == len(raw.tensors):
            return candidate
    return detected


def _working(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the narrowest dtype that holds all exactly; no layer works in 8 bits: they store."""
    dtypes = {torch.bfloat16 if t.dtype in _STORED_DTYPES else t.dtype for t in state_dict.values()}
    dtype = reduce(torch.promote_types, dtypes)
    return {key: tensor.to(dtype) for key, tensor in state_dict.items()}


def _notes(spec: TunerSpec) -> Iterator[str]:
    if any(SD1 in family and SD2 in family for family in spec.families):
        yield (
            f"{SD1} and {SD2} have the same skips and the file does not say which of them it was trained on; "
            "use it with the one its author names"
        )
    if spec.place == "encoder":
        yield (
            "it edits what the encoder passes on, not only the skips, as ms-swift's encoder mode trains it"
        )


def _check_keys(
    expected: Mapping[str, Tensor], state_dict: Mapping[str, Tensor], detected: DetectedFormat
) -> None:
    """Compare with the tuners these sizes make: every tensor there, none left over, each of its shape."""
    # of each tuner that has anything, `down` and all that goes with it
    partial = {f"{key.rsplit('.', 2)[0]}.down.weight" for key in state_dict if "tuners." in key}
    missing = sorted((expected.keys() | partial) - state_dict.keys())
    if missing:
        names = [detected.in_file(key) for key in missing]
        raise SCEditError(f"has missing keys: {', '.join(names[:3])}; get the whole file again")
    extra = sorted(state_dict.keys() - expected.keys())
    if extra:
        names = [detected.in_file(key) for key in extra]
        raise SCEditError(
            f"has extra keys that no tuner has: {', '.join(names[:3])}; get the whole file again"
        )
    for key, tensor in expected.items():
        if tensor.shape != state_dict[key].shape:
            raise SCEditError(
                f"{detected.in_file(key)} has shape {tuple(state_dict[key].shape)}, but its neighbours ask "
                f"for {tuple(tensor.shape)}; the file is damaged or mixed, get it again"
            )


def _check_tensors(raw: TensorFile) -> None:
    """Refuse what would cost more than the file's size to look at, and numbers that no layer works with."""
    if len(raw.tensors) > MOST_TENSORS:
        raise SCEditError(
            f"holds {len(raw.tensors)} tensors, the largest tuner has fewer than {MOST_TENSORS}; choose a "
            "file trained with SCEdit"
        )
    for key, tensor in raw.tensors.items():
        is_plain = tensor.layout == torch.strided and not tensor.is_meta
        if tensor.dtype not in (*_DTYPES, *_STORED_DTYPES) or not is_plain:
            found = tensor.dtype if is_plain else "sparse or no"
            raise SCEditError(
                f"{shown(key)} holds {found} numbers, expected plain floating point of 8, 16, 32 or 64 bits; "
                "convert the file, or choose another"
            )
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in raw.tensors.values())
    if claimed > raw.path.stat().st_size:
        raise SCEditError(
            f"claims {claimed} bytes of weights in a file of {raw.path.stat().st_size}; it is damaged, get "
            "it again"
        )


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for key, tensor in tensors.items():
        numbers = tensor.float() if tensor.dtype in _STORED_DTYPES else tensor
        if numbers.numel() and not _is_finite(numbers):
            raise SCEditError(
                f"{key} holds NaN or infinite weights: its training diverged or the file is damaged; "
                "use an earlier save of it"
            )


def _is_finite(numbers: Tensor) -> bool:
    """Whether none of them is NaN or infinite, without a copy.

    One that is makes the sum and the extremes so. In 16 bits the extremes are found three times as fast; in
    32 the sum is the quicker look, but may overflow where all numbers are finite.
    """
    if numbers.dtype.itemsize > 2 and math.isfinite(numbers.sum()):
        return True
    return all(map(math.isfinite, map(float, torch.aminmax(numbers))))


def _stated_strides(raw: TensorFile) -> tuple[int, ...] | None:
    """Strides in output order, from our metadata or the authors' INPUT_DOWN_FLAG (input order)."""
    own = raw.metadata.get("scedit.strides")
    # fullmatch of what may be 90 MB is itself a burden
    if own is not None and len(own) < 2 * MOST_BLOCKS and re.fullmatch(r"[12](,[12])*", own):
        return tuple(map(int, own.split(",")))
    # published files wrap the settings in CONTROL_MODEL, the trainer does not
    settings = raw.config.get("CONTROL_MODEL", raw.config)
    flags = settings.get("INPUT_DOWN_FLAG") if isinstance(settings, dict) else None
    if isinstance(flags, list) and len(flags) > MOST_BLOCKS:
        raise SCEditError(
            f"is configured for a U-Net with {len(flags)} skips, at most {MOST_BLOCKS} are known; put the "
            "configuration.json that came with the file beside it"
        )
    if isinstance(flags, list) and all(isinstance(flag, bool) for flag in flags):
        return tuple(2 if flag else 1 for flag in reversed(flags))
    return None


def _stated_blocks(raw: TensorFile) -> int | None:
    strides = _stated_strides(raw)
    return len(strides) if strides else None
