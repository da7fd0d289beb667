"""Kind and sizes of tuners, read off the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import SCEditError
from ..spec import STEM_CONVS, HintSpec, TunerOp, TunerSpec
from ..unet import SkipLayout
from .limits import MOST_CHANNELS, MOST_KERNEL, MOST_RANK, MOST_STEM

_ENCODER_PLACES = ("input_tuners", "resnet_tuners")


def infer_spec(
    shapes: Mapping[str, tuple[int, ...]],
    strides: Sequence[int] | None = None,
    ops: Sequence[TunerOp] = ("adapter",),
) -> TunerSpec:
    """Kind and sizes from canonical keys and shapes; `strides` (output order) where the file states them.

    `ops` are the forms of tuner that the file's layout can hold.
    """
    op = _infer_op(shapes, ops)
    ndim = 4 if op == "conv" else 2
    places = {place: _indexed(shapes, f"{place}.*.down.weight", ndim) for place in _ENCODER_PLACES}
    if any(key.startswith(_ENCODER_PLACES) for key in shapes):
        return _infer_encoder(places)
    downs = _indexed(shapes, "tuners.*.down.weight", ndim)
    channels, ranks = _sizes(downs)
    if not any(key.startswith("hint_encoder.") for key in shapes):
        return TunerSpec("sc", channels, ranks, op=op)
    return TunerSpec("csc", channels, ranks, _infer_hint(shapes, channels, strides), op)


def _sizes(downs: Mapping[int, tuple[int, ...]]) -> tuple[dict[int, int], dict[int, int]]:
    """Channels and ranks by block. Raises SCEditError for more than any U-Net has or any tuner needs."""
    for block, (rank, width, *_) in downs.items():
        if width > MOST_CHANNELS or rank > MOST_RANK * width:
            raise SCEditError(
                f"has a tuner of rank {rank} for {width} channels at block {block}, at most {MOST_CHANNELS} "
                f"channels and a rank of {MOST_RANK} times as many are read; choose a file trained with "
                "SCEdit"
            )
    channels = {block: shape[1] for block, shape in downs.items()}
    return channels, {block: shape[0] for block, shape in downs.items()}


def _infer_encoder(places: Mapping[str, Mapping[int, tuple[int, ...]]]) -> TunerSpec:
    whole, resnets = (places[place] for place in _ENCODER_PLACES)
    twice = sorted(whole.keys() & resnets.keys())
    if twice:
        raise SCEditError(
            f"edits input blocks {twice} twice, after their resnet and after their attention; ComfyUI lets "
            "nothing in between the two, use a tuner trained on one of them"
        )
    channels, ranks = _sizes({**whole, **resnets})
    return TunerSpec("sc", channels, ranks, place="encoder", after_resnet=frozenset(resnets))


def _infer_op(shapes: Mapping[str, tuple[int, ...]], ops: Sequence[TunerOp]) -> TunerOp:
    tuners = {key: shape for key, shape in shapes.items() if key.startswith("tuners.")}
    if "conv" in ops and any(len(shape) == 4 for shape in tuners.values()):
        return "conv"
    if "mlp" in ops and any(".mid." in key for key in tuners):
        return "mlp"
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
    if sorted(pre) != list(range(STEM_CONVS)) or not dense:
        raise SCEditError(
            f"has missing keys: a hint encoder has {STEM_CONVS} convs and then one per block, this file "
            f"has {len(pre)} and {len(dense)}; get the whole file again"
        )
    stem = (pre[0][1], *(pre[i][0] for i in range(STEM_CONVS)))
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
    is_wide = any(width > most for width, most in zip(spec.stem, MOST_STEM, strict=True))
    if is_wide or spec.kernel > MOST_KERNEL or max(spec.features) > MOST_CHANNELS:
        raise SCEditError(
            f"its hint encoder has a stem of widths {spec.stem}, dense convs of size {spec.kernel} and "
            f"features of up to {max(spec.features)} channels; at most {MOST_STEM}, {MOST_KERNEL} and "
            f"{MOST_CHANNELS} are read, since larger ones take more memory than a computer has"
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
    before, after = name.split("*")
    parts = {key: key[len(before) : -len(after)] for key in shapes if key.startswith(before)}
    found = {int(i): shapes[key] for key, i in parts.items() if key.endswith(after) and i.isdecimal()}
    for index, shape in found.items():
        if len(shape) != ndim or 0 in shape:
            raise SCEditError(
                f"{name.replace('*', str(index))} has shape {shape}, expected {ndim} sizes "
                "above 0; this is no SCEdit tuner, or a damaged one"
            )
    return found
