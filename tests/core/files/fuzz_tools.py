"""Valid tuner files, changed at random: in their bytes, headers, keys, shapes and pickle operations."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO

import torch
from byte_changes import CHANGES, change_bytes
from file_parts import joined, split, weights
from fuzz_pickles import pickle_files
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from safetensors.torch import save

from scedit_core import EncoderSize, SkipLayout, TunerSpec, build_tuners
from scedit_core.spec import StemSize

LAYOUT = SkipLayout.from_channels((16, 8, 8, 8))
WORDS = (
    "lsc_identity.", "lsc_tuner_blocks.", "tuners.", "dense_hint_blocks.", "hint_encoder.", "up_blocks.",
    "sc_tuners.", "resnets.", "scetuner_x.", "conv_in.", "down_blocks.", "down", "mid", "up", "weight",
    "bias", "model.", "0.", "1.", "99.", ".", "\n", "", "ln1", "ln2",
)  # fmt: skip
DTYPES = (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.int8, torch.bool)
SIZES = st.sampled_from([0, 1, 2, 3, 4, 8, 16, 17, 2**31, 2**62, 2**63, -1])


def _csc() -> dict[str, torch.Tensor]:
    encoder = EncoderSize(stem=StemSize(0.25, 8))
    return dict(build_tuners(TunerSpec.csc(LAYOUT, 4, encoder=encoder)).state_dict())


def _diffusers() -> dict[str, torch.Tensor]:
    named = {}
    for key, tensor in weights().items():
        _, block, _, layer, leaf = key.split(".")
        up, nth = divmod(int(block), 2)
        named[f"up_blocks.{up}.resnets.{nth}.scetuner_default.tuner_op.{layer}.{leaf}"] = tensor
    return named


BASES = (weights(), _csc(), _diffusers())


def _zip(tensors: dict[str, torch.Tensor]) -> bytes:
    buffer = BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def _older(tensors: dict[str, torch.Tensor]) -> bytes:
    buffer = BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


KINDS: dict[str, Callable[[dict[str, torch.Tensor]], bytes]] = {
    "safetensors": save,
    "bin": _zip,
    "pt": _older,
}
WHOLE = {(base, kind): make(BASES[base]) for base in range(len(BASES)) for kind, make in KINDS.items()}


@st.composite
def changed_bytes(draw: DrawFn) -> tuple[str, bytes]:
    """A file with bytes replaced, cut out, doubled or cut off."""
    kind, base = draw(st.sampled_from(sorted(KINDS))), draw(st.integers(0, len(BASES) - 1))
    content = bytearray(WHOLE[base, kind])
    for _ in range(draw(st.integers(1, 4))):
        # near the start and the end are the parts that describe the rest
        near = draw(st.sampled_from([16, 300, len(content) or 1]))
        place = draw(st.integers(0, near - 1)) if draw(st.booleans()) else -draw(st.integers(1, near))
        place = min(max(place % (len(content) or 1), 0), len(content))
        size = draw(st.integers(1, 40))
        change = draw(st.sampled_from(["replace", *CHANGES]))
        if change == "replace":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=8))
        else:
            change_bytes(content, change, place, size)
    return kind, bytes(content)


@st.composite
def changed_headers(draw: DrawFn) -> tuple[str, bytes]:
    """A safetensors file with entries of its header changed."""
    header, body = split(WHOLE[draw(st.integers(0, len(BASES) - 1)), "safetensors"])
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(header)))
        entry = header[key] = dict(header[key])
        part = draw(st.sampled_from(["dtype", "shape", "data_offsets", "key", "lost"]))
        if part == "dtype":
            names = ["F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2", "F4", "I64", "BOOL", "C64", "?"]
            entry["dtype"] = draw(st.sampled_from(names))
        elif part == "shape":
            entry["shape"] = draw(st.lists(SIZES, max_size=5) | st.permutations(entry["shape"]))
        elif part == "data_offsets":
            entry["data_offsets"] = draw(st.lists(SIZES, max_size=3))
        else:
            del header[key]
            if part == "key":
                header[draw(keys(key))] = entry
    text = json.dumps(header, ensure_ascii=draw(st.booleans()))
    size = draw(st.none() | st.none() | SIZES.filter(lambda size: size >= 0))
    return "safetensors", joined(text.encode("utf-8", "surrogatepass"), body, size)


@st.composite
def keys(draw: DrawFn, key: str) -> str:
    """A key like this one, with a piece exchanged."""
    pieces = key.split(".")
    place = draw(st.integers(0, len(pieces) - 1))
    pieces[place] = draw(st.sampled_from(WORDS) | st.text(max_size=6) | st.integers(0, 200).map(str))
    return ".".join(pieces)


@st.composite
def changed_tensors(draw: DrawFn) -> tuple[str, bytes]:
    """A sound file of tensors with other keys, shapes and numbers than tuners have."""
    tensors = dict(BASES[draw(st.integers(0, len(BASES) - 1))])
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(tensors)))
        change = draw(st.sampled_from(["lost", "renamed", "shape", "dtype", "number", "mixed"]))
        if change == "shape":
            tensors[key] = torch.zeros(draw(st.lists(st.integers(0, 5), max_size=5)))
        elif change == "dtype":
            dtypes = [
                torch.float16,
                torch.bfloat16,
                torch.float64,
                torch.float8_e4m3fn,
                torch.int8,
                torch.bool,
            ]
            tensors[key] = tensors[key].to(draw(st.sampled_from(dtypes)))
        elif change == "number":
            tensors[key] = tensors[key].float() * draw(st.floats(allow_nan=True, width=32))
        elif change == "mixed":
            tensors |= BASES[draw(st.integers(0, len(BASES) - 1))]
        else:
            tensor = tensors.pop(key)
            if change == "renamed":
                tensors[draw(keys(key))] = tensor
    kind = draw(st.sampled_from(sorted(KINDS)))
    try:
        return kind, KINDS[kind](tensors)
    except (UnicodeEncodeError, RuntimeError):  # a key that the file cannot hold
        return kind, b""


def files() -> SearchStrategy[tuple[str, bytes]]:
    """Suffix and content of a changed file."""
    return changed_bytes() | changed_headers() | changed_tensors() | changed_pickles()


def changed_pickles() -> SearchStrategy[tuple[str, bytes]]:
    """PyTorch files with changes in their pickle's operations and in their directory."""
    archives, older = ({base: WHOLE[base, kind] for base in range(len(BASES))} for kind in ("bin", "pt"))
    return pickle_files(archives, older)
