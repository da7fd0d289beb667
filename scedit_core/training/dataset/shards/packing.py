"""One example as the members of a tar, and back."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....errors import SCEditError, shown
from ....hint import PIXELS_PER_LATENT
from ..buckets import SIZE_NAMES

_BLOCK = tarfile.BLOCKSIZE
_END = b"\0" * 2 * _BLOCK  # of a tar
_QUICK = 3  # zlib's level: half the time of the usual 6, and drawings come out nearly as small
# how numpy begins a file of float16 in three dimensions; nothing else is read
_NPY = re.compile(
    rb"\x93NUMPY\x01\0..\{'descr': '<f2', 'fortran_order': False, "
    rb"'shape': \((\d{1,5}), (\d{1,5}), (\d{1,5})\), \} *\n",
    re.DOTALL,
)
_LATENT, _CAPTION, _ABOUT = "latent.npy", "txt", "json"


@dataclass(frozen=True, eq=False)
class Prepared:
    """An example that is ready to be written.

    `name` is its source's, other than all others in the set; `stamp` (64 bits) changes with the source. The
    latent is `(C, h, w)`, as the VAE gives it. A hint is a number of drawings, each a PNG of `to_png`, as
    large as the picture; `sizes` has the numbers of SIZE_NAMES.
    """

    name: str
    stamp: int
    latent: np.ndarray
    caption: str
    hints: tuple[Sequence[bytes], ...]
    sizes: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class StoredExample:
    """An example as it was read: latent `(C, h, w)` in float16, as the VAE gives it, and its caption.

    A hint is `(V, 3, 8h, 8w)` in uint8: V drawings of one picture. `sizes` has the numbers of SIZE_NAMES.
    The scale that a model works at is the model's to apply, as it does to latents that come over a link.
    """

    latent: Tensor
    caption: str
    hints: tuple[Tensor, ...]
    sizes: Mapping[str, int]


def key_of(name: str) -> int:
    """The key, 64 bits, of a source of this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def to_png(drawing: np.ndarray) -> bytes:
    """A hint, RGB uint8 `(H, W, 3)`, as the content of a file; grey if it has no colours."""
    is_grey = bool((drawing[..., 0] == drawing[..., 1]).all() and (drawing[..., 0] == drawing[..., 2]).all())
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(drawing[..., 0] if is_grey else drawing))
    image.save(buffer, "PNG", compress_level=_QUICK)
    return buffer.getvalue()


def pack(example: Prepared) -> bytes:
    """The part of a tar that holds an example. Raises SCEditError for one that nothing could read."""
    with np.errstate(over="ignore"):  # what overflows is refused below
        latent = np.ascontiguousarray(example.latent, np.float16)
    _check(example, latent)
    about = {"name": example.name, "stamp": f"{example.stamp:016x}", **example.sizes}
    buffer = io.BytesIO()
    np.save(buffer, latent, allow_pickle=False)
    members = [(_ABOUT, json.dumps(about).encode()), (_LATENT, buffer.getvalue())]
    for kind, drawings in enumerate(example.hints):
        members += [(_hint_end(kind, n), drawing) for n, drawing in enumerate(drawings)]
    members.append((_CAPTION, example.caption.encode()))
    key = f"{key_of(example.name):016x}"
    return b"".join(_member(f"{key}.{end}", content) for end, content in members)


def _check(example: Prepared, latent: np.ndarray) -> None:
    """Refuse a latent that float16 cannot hold, and hints of another size than the picture's."""
    if latent.ndim != 3 or not np.isfinite(latent).all():
        raise SCEditError(
            f"the latent of '{shown(example.name)}' has shape {latent.shape} or holds numbers that float16 "
            "cannot; expected (channels, height, width): use the VAE of the model, in float32 if it overflows"
        )
    size = (PIXELS_PER_LATENT * latent.shape[2], PIXELS_PER_LATENT * latent.shape[1])
    sizes = [_png_size(drawing) for drawings in example.hints for drawing in drawings]
    if set(sizes) - {size} or not all(example.hints):
        raise SCEditError(
            f"the hints of '{shown(example.name)}' have the sizes {sizes}, its picture {size}; draw each "
            "hint from the cropped picture"
        )


def _png_size(drawing: bytes) -> tuple[int, int]:
    """Width and height that the header of a PNG tells."""
    return int.from_bytes(drawing[16:20], "big"), int.from_bytes(drawing[20:24], "big")


def closing() -> bytes:
    """What ends a tar."""
    return _END


def _hint_end(kind: int, drawing: int) -> str:
    return f"hint{kind}.png" if drawing == 0 else f"hint{kind}.{drawing}.png"


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % _BLOCK)


def members(packed: memoryview) -> Iterator[tuple[str, str, memoryview]]:
    """Key, ending and content of each member in a part of a tar. Raises ValueError."""
    place = 0
    while place + _BLOCK <= len(packed):
        header = bytes(packed[place : place + _BLOCK])
        if header == _END[:_BLOCK]:
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise ValueError(str(error)) from error
        start, end = place + _BLOCK, place + _BLOCK + info.size
        if not info.isreg() or end > len(packed):
            raise ValueError(f"{shown(info.name)} is cut off or no file")
        key, _, ending = info.name.partition(".")
        yield key, ending, packed[start:end]
        place = end + -info.size % _BLOCK


def unpack(packed: memoryview, kinds: int) -> StoredExample:
    """The example that a part of a tar holds, with this number of hints. Raises ValueError."""
    found = {ending: content for _, ending, content in members(packed)}
    try:
        about, latent = about_of(found), _latent(found[_LATENT])
        caption = bytes(found[_CAPTION]).decode()
        hints = tuple(_hint(found, kind, latent.shape) for kind in range(kinds))
        sizes = {name: int(about[name]) for name in SIZE_NAMES}
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from error
    return StoredExample(torch.from_numpy(latent), caption, hints, sizes)


def about_of(found: Mapping[str, memoryview]) -> Mapping[str, Any]:
    """What `KEY.json` says. Raises ValueError, TypeError or KeyError for none."""
    about = json.loads(bytes(found[_ABOUT]))
    if not isinstance(about, dict):
        raise TypeError("no description")
    return about


def latent_shape(found: Mapping[str, memoryview]) -> tuple[int, ...]:
    """Shape (C, h, w) of the latent among an example's members. Raises ValueError or KeyError."""
    return _latent(found[_LATENT]).shape


def _latent(content: memoryview) -> np.ndarray:
    """float16 (C, h, w) from a .npy; its size is looked at before anything is made."""
    header = _NPY.match(content)
    if header is None:
        raise ValueError("a latent of another kind")
    shape, numbers = tuple(map(int, header.groups())), content[header.end() :]
    if 2 * math.prod(shape) != len(numbers):
        raise ValueError(f"a latent of shape {shape} in {len(numbers)} bytes")
    return np.frombuffer(numbers, np.float16).reshape(shape).copy()


def _hint(found: Mapping[str, memoryview], kind: int, latent: tuple[int, ...]) -> Tensor:
    """The drawings (V, 3, H, W) of a hint."""
    size = (PIXELS_PER_LATENT * latent[2], PIXELS_PER_LATENT * latent[1])
    drawings = [_drawing(found[_hint_end(kind, 0)], size)]
    while (end := _hint_end(kind, len(drawings))) in found:
        drawings.append(_drawing(found[end], size))
    return torch.from_numpy(np.stack(drawings)).movedim(-1, 1).contiguous()


def _drawing(content: memoryview, size: tuple[int, int]) -> np.ndarray:
    """RGB (H, W, 3) from a PNG of this width and height."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.size != size:
                raise ValueError(f"a hint of {image.size} pixels, expected {size}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"a hint that is no PNG ({error})") from error
