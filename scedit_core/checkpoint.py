"""Tuner files to tuner sets and back: kind and sizes are read off the shapes, every key is accounted for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .control import CSCTunerSet
from .errors import SCEditError
from .files import TensorFile, read_tensors, write_tensors
from .formats import DetectedFormat, detect_format
from .spec import HintSpec, TunerOp, TunerSpec
from .tuner import SCTunerSet
from .unet import SkipLayout

_LAYOUT_VERSION = "1"
_STEM_CONVS = 7
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """A tuner file, understood: its sizes, its tensors under our names, and what it says of itself."""

    spec: TunerSpec
    state_dict: Mapping[str, Tensor]
    format_name: str
    metadata: Mapping[str, str]


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a tuner file or published folder. Raises SCEditError, in one sentence, for anything else."""
    place = Path(path)
    raw = read_tensors(place)
    try:
        detected = detect_format(raw.tensors.keys(), _stated_blocks(raw))
        state_dict = _canonical_tensors(raw.tensors, detected)
        shapes = {key: tuple(t.shape) for key, t in state_dict.items()}
        spec = infer_spec(shapes, _stated_strides(raw), detected.format.ops)
        _check_keys(spec, state_dict, detected)
        _check_numbers(raw.tensors)
    except SCEditError as error:
        raise SCEditError(f"'{place.name}': {error}") from error
    return Checkpoint(spec, state_dict, detected.format.name, raw.metadata)


def build_tuners(
    spec: TunerSpec,
    *,
    operations: Any = nn,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> SCTunerSet | CSCTunerSet:
    """Untrained tuners of these sizes."""
    kind = SCTunerSet if spec.hint is None else CSCTunerSet
    return kind(spec, operations=operations, device=device, dtype=dtype)


def load_checkpoint(path: str | os.PathLike[str], operations: Any = nn) -> SCTunerSet | CSCTunerSet:
    """Tuners of a file or published folder, on the CPU, in the file's dtype, with layers of `operations`."""
    checkpoint = read_checkpoint(path)
    dtype = next(iter(checkpoint.state_dict.values())).dtype
    tuners = build_tuners(checkpoint.spec, operations=operations, dtype=dtype)
    tuners.load_state_dict(checkpoint.state_dict)
    return tuners


def save_checkpoint(
    tuners: SCTunerSet | CSCTunerSet, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tuners as safetensors with string metadata; the file appears whole or not at all.

    Raises SCEditError if the place cannot be written; a file that was there stays as it was.
    """
    own = {"scedit.layout": _LAYOUT_VERSION, "scedit.kind": tuners.spec.kind, "scedit.op": tuners.spec.op}
    if tuners.spec.hint is not None:
        own["scedit.strides"] = ",".join(map(str, tuners.spec.hint.strides))
    tensors = {key: value.detach().contiguous() for key, value in tuners.state_dict().items()}
    write_tensors(Path(path), tensors, {**(metadata or {}), **own})


def infer_spec(
    shapes: Mapping[str, tuple[int, ...]],
    strides: Sequence[int] | None = None,
    ops: Sequence[TunerOp] = ("adapter",),
) -> TunerSpec:
    """Kind and sizes from canonical keys and shapes; `strides` (output order) where the file states them.

    `ops` are the forms of tuner that the file's layout can hold.
    """
    op = _infer_op(shapes, ops)
    downs = _indexed(shapes, "tuners.*.down.weight", ndim=4 if op == "conv" else 2)
    channels = {block: shape[1] for block, shape in downs.items()}
    ranks = {block: shape[0] for block, shape in downs.items()}
    if not any(key.startswith("hint_encoder.") for key in shapes):
        return TunerSpec("sc", channels, ranks, op=op)
    return TunerSpec("csc", channels, ranks, _infer_hint(shapes, channels, strides), op)


def _infer_op(shapes: Mapping[str, tuple[int, ...]], ops: Sequence[TunerOp]) -> TunerOp:
    tuners = {key: shape for key, shape in shapes.items() if key.startswith("tuners.")}
    if "conv" in ops and any(len(shape) == 4 for shape in tuners.values()):
        return "conv"
    if "lora" in ops and not any(key.endswith(".bias") for key in tuners):
        return "lora"
    return "adapter"


def _infer_hint(
    shapes: Mapping[str, tuple[int, ...]], channels: Mapping[int, int], strides: Sequence[int] | None
) -> HintSpec:
    pre = _indexed(shapes, "hint_encoder.pre.*.weight", ndim=4)
    dense = _indexed(shapes, "hint_encoder.dense.*.weight", ndim=4)
    narrow = _indexed(shapes, "hint_encoder.dense.*.down.weight", ndim=4)
    dense = dense or _indexed(shapes, "hint_encoder.dense.*.up.weight", ndim=4)
    if narrow and narrow.keys() != dense.keys():
        raise SCEditError(
            "has missing keys: each dual dense block has a down.weight and an up.weight, but not at blocks "
            f"{sorted(narrow.keys() ^ dense.keys())}; get the whole file again"
        )
    if sorted(pre) != list(range(_STEM_CONVS)) or not dense:
        raise SCEditError(
            f"has missing keys: a hint encoder has {_STEM_CONVS} convs and then one per block, this file "
            f"has {len(pre)} and {len(dense)}; get the whole file again"
        )
    stem = (pre[0][1], *(pre[i][0] for i in range(_STEM_CONVS)))
    blocks = len(strides) if strides else 1 + max([*dense, *channels])
    features = _features(dense, blocks, stem[-1])
    wrong = sorted(block for block, width in channels.items() if features[block] != width)
    if wrong:
        raise SCEditError(
            f"its hint features have other widths than its tuners at blocks {wrong}; get the whole file "
            "again, with its configuration.json"
        )
    layout = SkipLayout(features, tuple(strides)) if strides else SkipLayout.from_channels(features)
    bottlenecks = {block: shape[0] for block, shape in sorted(narrow.items())} or None
    kernel = (narrow or dense)[max(dense)][-1]
    spec = HintSpec(stem, kernel, features, layout.strides, tuple(sorted(dense)), bottlenecks)
    _check_hint(spec)
    return spec


def _check_hint(spec: HintSpec) -> None:
    """Refuse encoders whose features would have another size than the skips, or that read no RGB image."""
    if spec.stem[0] != 3 or spec.kernel % 2 == 0:
        raise SCEditError(
            f"its hint encoder reads {spec.stem[0]} channels and has dense convs of size {spec.kernel}, "
            "expected 3 (RGB) and an odd size; this is no SCEdit tuner, or a damaged one"
        )
    lost = [block for block, stride in enumerate(spec.strides) if stride == 2 and block not in spec.dense]
    if lost:
        raise SCEditError(
            f"has missing keys: no dense hint conv at blocks {lost}, where the U-Net halves; get the whole "
            "file again, with its configuration.json"
        )


def _features(dense: Mapping[int, tuple[int, ...]], blocks: int, width: int) -> tuple[int, ...]:
    """Width of every block's hint feature: a block without a dense conv passes on what it got."""
    features = []
    for block in reversed(range(blocks)):
        width = dense[block][0] if block in dense else width
        features.append(width)
    return tuple(reversed(features))


def _indexed(shapes: Mapping[str, tuple[int, ...]], name: str, ndim: int) -> dict[int, tuple[int, ...]]:
    """Shapes by the index that stands for * in a name."""
    pattern = re.escape(name).replace(r"\*", r"(\d+)")
    found = {int(m[1]): shape for key, shape in shapes.items() if (m := re.fullmatch(pattern, key))}
    for index, shape in found.items():
        if len(shape) != ndim or 0 in shape:
            raise SCEditError(
                f"{name.replace('*', str(index))} has shape {shape}, expected {ndim} sizes "
                "above 0; this is no SCEdit tuner, or a damaged one"
            )
    return found


def _canonical_tensors(tensors: Mapping[str, Tensor], detected: DetectedFormat) -> dict[str, Tensor]:
    return {detected.canonical(key): tensor for key, tensor in tensors.items()}


def _check_keys(spec: TunerSpec, state_dict: Mapping[str, Tensor], detected: DetectedFormat) -> None:
    """Compare with the tuners these sizes make: every tensor there, none left over, each of its shape."""
    expected = build_tuners(spec, device=torch.device("meta")).state_dict()
    partial = {
        re.sub(r"(down|up)\.(weight|bias)$", "down.weight", key) for key in state_dict if "tuners." in key
    }
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


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    for key, tensor in tensors.items():
        is_plain = tensor.layout == torch.strided and not tensor.is_meta
        if tensor.dtype not in _DTYPES or not is_plain:
            found = tensor.dtype if is_plain else "sparse or no"
            raise SCEditError(
                f"{key} holds {found} numbers, expected plain floating point of 16, 32 or 64 bits; "
                "convert the file, or choose another"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise SCEditError(
                f"{key} holds NaN or infinite weights: its training diverged or the file is damaged; "
                "use an earlier save of it"
            )


def _stated_strides(raw: TensorFile) -> tuple[int, ...] | None:
    """Strides in output order, from our metadata or the authors' INPUT_DOWN_FLAG (input order)."""
    own = raw.metadata.get("scedit.strides")
    if own is not None and re.fullmatch(r"[12](,[12])*", own):
        return tuple(map(int, own.split(",")))
    flags = raw.config.get("INPUT_DOWN_FLAG")
    if isinstance(flags, list) and all(isinstance(flag, bool) for flag in flags):
        return tuple(2 if flag else 1 for flag in reversed(flags))
    return None


def _stated_blocks(raw: TensorFile) -> int | None:
    strides = _stated_strides(raw)
    return len(strides) if strides else None
