"""Hostile and broken tuner files, made anew wherever they are needed.

    python tests/core/files/make_corpus.py FOLDER

Every function whose name begins with `write_` yields cases: a name, and the path to load. None of them holds
anything that harms when it is merely read; pickles that would run code write a file named `was_run` beside
them.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import torch
from file_parts import KEY, Case, joined, split, weights, written
from safetensors.torch import save, save_file


def write_cuts(folder: Path) -> Iterator[Case]:
    """Whole files of all three kinds, cut at and beside every boundary of their structure."""
    whole = save(weights())
    header, _ = split(whole)
    start = 8 + int.from_bytes(whole[:8], "little")
    ends = [start + end for entry in header.values() for end in entry["data_offsets"]]
    yield from _cuts(folder, "safetensors", whole, [8, start // 2, start, *ends])
    buffer = BytesIO()
    torch.save(weights(), buffer)
    whole = buffer.getvalue()
    with zipfile.ZipFile(buffer) as archive:
        starts = [entry.header_offset for entry in archive.infolist()]
        directory = archive.start_dir
    yield from _cuts(folder, "bin", whole, [*starts, directory, whole.rindex(b"PK\x05\x06")])
    buffer = BytesIO()
    torch.save(weights(), buffer, _use_new_zipfile_serialization=False)
    whole = buffer.getvalue()
    stops = [place for place, byte in enumerate(whole[:2000]) if byte == pickle.STOP[0]]
    yield from _cuts(folder, "pt", whole, [*stops, *range(2000, len(whole), 500)])


def _cuts(folder: Path, suffix: str, whole: bytes, boundaries: list[int]) -> Iterator[Case]:
    places = {place + beside for place in boundaries for beside in (-1, 0, 1)}
    for place in sorted(place for place in places if 0 <= place < len(whole)):
        yield f"{suffix} cut at {place}", written(folder / f"cut{place}.{suffix}", whole[:place])


def write_headers(folder: Path) -> Iterator[Case]:
    """Safetensors files whose header does not agree with itself or with the body."""
    header, body = split(save(weights()))
    yield from _texts(folder, header, body)
    yield from _entries(folder, header, body)


def _texts(folder: Path, header: dict, body: bytes) -> Iterator[Case]:
    text, (first, second) = json.dumps(header).encode(), list(header)[:2]
    sizes = {0, 1, len(text) - 1, len(text) + 1, len(text) + len(body), 10**8 + 1, 2**32, 2**63, 2**64 - 1}
    for size in sorted(sizes):
        yield f"header of length {size}", written(folder / f"s{size}.safetensors", joined(text, body, size))
    twice = text[:-1] + b"," + json.dumps({first: header[second]}).encode()[1:]
    texts = {
        "key twice": twice,
        "key twice, the same": text[:-1] + b"," + json.dumps({first: header[first]}).encode()[1:],
        "nested header": b"[" * 100_000,
        "header of spaces": b" " * 10**6,
        "lone surrogate": text.replace(b"lsc_identity.0", b"lsc_identity.\\ud800", 1),
        "not utf-8": text.replace(b"lsc_identity.0", b"lsc_identity.\xff", 1),
        "metadata of numbers": text[:-1] + b',"__metadata__":{"steps":7}}',
        "metadata that is a list": text[:-1] + b',"__metadata__":[]}',
    }
    for name, content in texts.items():
        yield name, written(folder / f"{name}.safetensors", joined(content, body))


def _entries(folder: Path, header: dict, body: bytes) -> Iterator[Case]:
    first, second = list(header)[:2]
    own, other = header[first]["data_offsets"], header[second]["data_offsets"]
    changed = {
        "overlapping": {"data_offsets": other},
        "backwards": {"data_offsets": own[::-1]},
        "beyond": {"data_offsets": [own[0], 2**40]},
        "overflowing": {"data_offsets": [2**63, 2**64 - 1]},
        "negative": {"data_offsets": [-1, own[1]]},
        "no offsets": {"data_offsets": None},
        "huge shape": {"shape": [2**40, 2**40]},
        "huge flat shape": {"shape": [2**63]},
        "negative shape": {"shape": [-4, -16]},
        "no size, huge size": {"shape": [0, 2**62]},
        "fractions": {"shape": [4.5, 2]},
        "many sizes": {"shape": [1] * 5000},
        "unknown dtype": {"dtype": "F31"},
        "other dtype": {"dtype": "I32"},
        "half of a byte": {"dtype": "F4"},
        "dtype of another size": {"dtype": "F64"},
        "dtype that is a number": {"dtype": 7},
    }
    for name, change in changed.items():
        content = joined({**header, first: {**header[first], **change}}, body)
        yield name, written(folder / f"{name}.safetensors", content)


def write_tensors(folder: Path) -> Iterator[Case]:
    """Whole files with tensors, keys and numbers that no tuner has."""
    whole, first = weights(), weights()[KEY]
    files = {
        "no tensor": {},
        "zero-size": whole | {KEY: first[:0]},
        "all zero-size": {key: value[..., :0] for key, value in whole.items()},
        "scalar": whole | {KEY: torch.tensor(1.0)},
        "NaN": whole | {KEY: first * torch.nan},
        "infinite": whole | {KEY: first / 0},
        "missing": {key: value for key, value in whole.items() if key != KEY},
        "whole numbers": whole | {KEY: first.int()},
        "booleans": whole | {KEY: first > 0},
        "long key": whole | {"x" * 10**6: first},
        "one key in many lines": whole | {"lsc_identity\n" * 1000: first},
        "block 99": whole | {KEY.replace(".0.", ".99."): first},
        "block without end": whole | {KEY.replace(".0.", f".{'9' * 5000}."): first},
        "other digits": whole | {KEY.replace(".0.", ".\u0661."): first},
        "many tensors": {f"lsc_identity.{i}.tuner_op.ln1.weight": torch.zeros(1, 1) for i in range(5000)},
    }
    for name, content in files.items():
        save_file(content, folder / f"{name}.safetensors")
        torch.save(content, folder / f"{name}.bin")
        yield f"{name} (safetensors)", folder / f"{name}.safetensors"
        yield f"{name} (bin)", folder / f"{name}.bin"


class Call:
    """Makes a pickle call a function when a trusting loader reads it."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def write_pickles(folder: Path) -> Iterator[Case]:
    """Pickles that would run code, ask for memory or nest without end, raw and in an archive."""
    mark = folder / "was_run"
    contents = {
        "os.system": pickle.dumps(Call(os.system, f"touch {mark}")),
        "eval": pickle.dumps(Call(eval, f"open({str(mark)!r}, 'w')")),
        "exec in a dictionary": pickle.dumps({**weights(), "x": Call(exec, f"open({str(mark)!r}, 'w')")}),
        "touch": pickle.dumps({**weights(), "x": Call(Path.touch, mark)}),
        "old instance": f"(S'touch {mark}'\nios\nsystem\n.".encode(),
        "a terabyte": pickle.dumps(Call(bytearray, 10**12)),
        "more than there are": pickle.dumps(Call(bytearray, 2**62)),
        "a tensor of a terabyte": pickle.dumps({KEY: Call(torch.Tensor, 10**12)}),
        "nested lists": b"(" * 200_000 + b"l" * 200_000 + b".",
        "long string": b"X\xff\xff\xff\x7fx.",
        "endless memo": b"\x80\x02]" + b"q\x00h\x00a" * 10_000 + b".",
        "unfinished": pickle.dumps(weights())[:-1],
    }
    for name, content in contents.items():
        yield f"{name} (raw)", written(folder / f"{name}.bin", content)
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", "3\n")
        yield f"{name} (archive)", written(folder / f"{name}.pt", buffer.getvalue())


def write_archives(folder: Path) -> Iterator[Case]:
    """Archives that unpack to far more than they are, and tensors that are far larger than their numbers."""
    for name, entry in (("data.pkl", "archive/data.pkl"), ("data", "archive/data/0")):
        file = folder / f"bomb in {name}.bin"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/version", "3\n")
            archive.writestr(entry, bytes(10**8))
        yield file.stem, file
    tensors = {
        "expanded": torch.zeros(1).expand(10**6, 10**6),
        "overlapping windows": torch.zeros(2 * 10**6).as_strided((10**6, 10**6), (1, 1)),
        "sparse and huge": torch.sparse_coo_tensor(torch.zeros(2, 1).long(), torch.ones(1), (10**9, 10**9)),
        "meta and huge": torch.empty(10**9, 10**9, device="meta"),
        "complex": torch.zeros(4, 16, dtype=torch.complex64),
        "quantized": torch.quantize_per_tensor(torch.zeros(4, 16), 0.1, 0, torch.qint8),
        "parameter": torch.nn.Parameter(weights()[KEY]),
    }
    for name, tensor in tensors.items():
        torch.save(weights() | {KEY: tensor}, folder / f"{name}.bin")
        yield name, folder / f"{name}.bin"
    one = torch.zeros(10**6)
    torch.save({f"lsc_identity.{i}.tuner_op.ln1.bias": one for i in range(500)}, folder / "one for all.bin")
    yield "one storage for all", folder / "one for all.bin"
    with tarfile.open(folder / "tar.pt", "w") as archive:
        archive.add(__file__, "storages")
    yield "tar", folder / "tar.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(folder / "script.pt")
    yield "script", folder / "script.pt"


def write_places(folder: Path) -> Iterator[Case]:
    """Paths that are no plain files, and folders in which things are not what their names say."""
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    save_file(weights(), outside / "adapter_model.safetensors")
    links = {
        "link out.safetensors": outside / "adapter_model.safetensors",
        "linked folder": outside,
        "broken link": folder / "gone",
        "link to itself": folder / "link to itself",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
        yield name, folder / name
    (folder / "folder.safetensors").mkdir()
    yield "a folder for a file", folder / "folder.safetensors"
    for suffix in ("safetensors", "bin"):
        yield f"nothing in a {suffix}", written(folder / f"empty.{suffix}", b"")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.safetensors")
        yield "a pipe that nothing comes out of", folder / "pipe.safetensors"
    if sys.platform == "linux":
        odd = Path(os.fsdecode(os.fsencode(folder) + b"/odd \xff.safetensors"))
        save_file(weights(), outside / "odd.safetensors")
        os.rename(outside / "odd.safetensors", odd)
        yield "a name that is no text", odd
        odd = Path(os.fsdecode(os.fsencode(folder) + b"/odd \xff.bin"))
        torch.save(weights(), outside / "odd.bin")
        os.rename(outside / "odd.bin", odd)
        yield "a bin whose name is no text", odd
    torch.save(weights(), folder / "two\nlines.bin")
    yield "a name of two lines", folder / "two\nlines.bin"
    yield from _published(folder)


def _published(folder: Path) -> Iterator[Case]:
    configs = {
        "config is a folder": None,
        "config of 2 MB": b" " * 2_000_000,
        "config is no text": b"\xff\xfe",
        "config of digits": b"[" + b"9" * 10_000 + b"]",
        "config of nests": b"[" * 100_000,
        "kind is a list": b'{"swift_type": ["SCETuning"]}',
        "kind is a LoRA": b'{"swift_type": "LORA"}',
    }
    for name, content in configs.items():
        place = folder / name / "0_SwiftSCETuning"
        place.mkdir(parents=True)
        torch.save(weights(), place / "adapter_model.bin")
        if content is None:
            (place / "adapter_config.json").mkdir()
        else:
            (place / "adapter_config.json").write_bytes(content)
        yield name, folder / name
    (folder / "weights are a folder" / "adapter_model.bin").mkdir(parents=True)
    yield "weights are a folder", folder / "weights are a folder"


WRITERS = (
    write_cuts, write_headers, write_tensors, write_pickles, write_archives, write_places,
)  # fmt: skip


def make_corpus(folder: Path) -> Iterator[Case]:
    """Write all files below a folder that is empty or new."""
    for writer in WRITERS:
        place = folder / writer.__name__.removeprefix("write_")
        place.mkdir(parents=True)
        yield from writer(place)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    count = sum(1 for _ in make_corpus(Path(sys.argv[1])))
    sys.stdout.write(f"{count} files in {sys.argv[1]}\n")
