"""What a tuner file is, in lines that a user can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import shown
from ..evaluation.record import PREFIX, without_record
from ..spec import KIND_WORDS, HintSpec, TunerSpec
from .checkpoint import Checkpoint

_LONGEST = 300  # characters of a value; some tools put whole configurations into metadata
_LONGEST_FIGURES = 500


def describe_checkpoint(checkpoint: Checkpoint) -> str:
    """Kind, family, sizes, file, metadata and notes, one per line; reads the whole file for its SHA-256."""
    return "\n".join(_lines(checkpoint))


def _lines(checkpoint: Checkpoint) -> Iterator[str]:
    spec, weights = checkpoint.spec, checkpoint.state_dict.values()
    count, size = sum(tensor.numel() for tensor in weights), checkpoint.path.stat().st_size
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights})
    yield f"kind: {KIND_WORDS[spec.kind].split(maxsplit=1)[1]}"
    yield f"made for: {' or '.join(spec.families) or 'a U-Net of no family known here'}"
    yield f"tuner op: {spec.op}{' in the encoder' if spec.place == 'encoder' else ''}"
    yield f"{'skips' if spec.place == 'skip' else 'input blocks'} (width > rank): {_sizes(spec)}"
    if spec.hint is not None:
        yield f"hint encoder: {_encoder(spec.hint)}"
    yield f"parameters: {count:,} ({', '.join(dtypes)})"
    yield f"file: {shown(checkpoint.path.name)}, {size / 1e6:.1f} MB, {checkpoint.format_name}"
    yield f"SHA-256: {sha256(checkpoint.path)}"
    settings = checkpoint.config.get("CONTROL_MODEL", checkpoint.config)
    if isinstance(settings, dict) and "SCALE" in settings:
        scale = shown(str(settings["SCALE"]))
        yield f"SCALE in configuration.json: {scale} (not applied; the strength of the node is what acts)"
    yield from _measured(checkpoint.metadata)
    for key, value in sorted(without_record(checkpoint.metadata).items()):
        yield f"{shown(key)}: {shown(' '.join(value.split()), _LONGEST)}"
    for note in checkpoint.notes:
        yield f"note: {note}"


def _measured(metadata: Mapping[str, str]) -> Iterator[str]:
    """What 'Evaluate Tuner' found, if it was asked."""
    for key, word in (("verdict", "measured"), ("figures", "figures")):
        if said := metadata.get(f"{PREFIX}{key}"):
            yield f"{word}: {shown(' '.join(said.split()), _LONGEST_FIGURES)}"


def _sizes(spec: TunerSpec) -> str:
    return ", ".join(
        f"{block}: {spec.channels[block]} > {spec.ranks[block]}" for block in sorted(spec.channels)
    )


def _encoder(hint: HintSpec) -> str:
    convs = "pairs of convs" if hint.bottlenecks is not None else f"k = {hint.kernel}"
    widths = " ".join(map(str, hint.stem))
    left = sorted(set(range(len(hint.features))) - set(hint.dense))
    without = f", none at skips {left}" if left else ""
    return f"{convs}{without}, stem {widths}"


def sha256(file: Path) -> str:
    """SHA-256 of a file, as model sites show it."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
