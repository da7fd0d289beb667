"""Files that ask for far more than they are, of members, tensors, channels or settings; in the corpus."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import torch
from file_parts import KEY, Case, joined, split, weights, written
from safetensors.torch import save
from small_tuners import CSC

from scedit_core.files.limits import MOST_DIRECTORY


def saved(tensors: dict[str, torch.Tensor]) -> bytes:
    """An archive as torch writes it."""
    buffer = BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def two_ends(sound: bytes, other: bytes) -> bytes:
    """An archive with the ends of two: readers that begin at the front and at the back see another one."""
    directory = sound.index(b"PK\x01\x02")
    return sound[:directory] + other + sound[directory:]


def overlapping(count: int, size: int) -> bytes:
    """An archive with so many members that are all the same bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(size))
        entry = archive.infolist()[-1]
        for number in range(1, count):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = entry.header_offset, entry.CRC
            copy.file_size = copy.compress_size = size
            archive.filelist.append(copy)
    return buffer.getvalue()


def wide_stem() -> dict[str, torch.Tensor]:
    """A small control, the first conv of whose stem has 20,000 channels."""
    return CSC | {
        "pre_hint_blocks.0.weight": torch.zeros(20_000, 3, 3, 3),
        "pre_hint_blocks.0.bias": torch.zeros(20_000),
        "pre_hint_blocks.2.weight": torch.zeros(4, 20_000, 3, 3),
    }


def write_sizes(folder: Path) -> Iterator[Case]:
    """Cases of each kind."""
    small, large, one = saved(weights()), saved({"x": torch.zeros(10**5)}), weights()[KEY]
    contents = {
        "two ends.bin": two_ends(small, large),
        "two ends, the other way.bin": two_ends(large, small),
        "one after the other.bin": small + large,
        "overlapping.bin": overlapping(1_000, 10**5),
        "directory without end.bin": overlapping(MOST_DIRECTORY // 60, 1),
        "header without end.safetensors": joined(b"{" + b'"":{},' * 1_500_000 + b"}", b""),
        "a stem of 20,000.safetensors": save({key: value.clone() for key, value in wide_stem().items()}),
        "a stem of 20,000.bin": saved(wide_stem()),
        "many tensors.bin": saved({f"t{i}": one for i in range(11_000)}),
    }
    for name, content in contents.items():
        yield name, written(folder / name, content)
    header, body = split(save(weights()))
    header["__metadata__"] = {"scedit.strides": "1," * 10**6 + "1"}
    yield "strides without end", written(folder / "strides.safetensors", joined(header, body))
    tensors = {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    text = json.dumps(tensors).encode()
    yield "tensors without end", written(folder / "tensors.safetensors", struct.pack("<Q", len(text)) + text)
    flags = written(
        folder / "flags" / "configuration.json", b'{"INPUT_DOWN_FLAG": [' + b"true," * 140_000 + b"true]}"
    )
    torch.save(CSC, flags.parent / "tuner.bin")
    yield "flags without end", flags.parent / "tuner.bin"
