"""Valid pictures of all kinds, changed at random: in their bytes, their headers and their EXIF."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from byte_changes import CHANGES, change_bytes
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from PIL import Image

from scedit_core import SCEditError
from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.pictures import load_picture, size_or_reason

NUMBERS = st.sampled_from([0, 1, 2, 6, 8, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1])
TAGS = st.sampled_from(
    [0x0112, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0111, 0x0115, 0x0116, 0x0117, 0x011A, 0x0128, 0x0140,
     0x0142, 0x0144, 0x0145, 0x0152, 0x0153, 0x014A, 0x02BC, 0x8769, 0x8825, 0x927C, 0xA005]
)  # fmt: skip


def _saved(kind: str, mode: str, **how: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **how)
    return buffer.getvalue()


WHOLE = {
    "jpg": [_saved("JPEG", "RGB"), _saved("JPEG", "L", progressive=True), _saved("JPEG", "CMYK")],
    "png": [_saved("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    "webp": [_saved("WEBP", "RGB"), _saved("WEBP", "RGBA", lossless=True)],
    "tif": [
        _saved("TIFF", mode, compression=c) for mode in ("1", "L", "RGB", "F") for c in (None, "tiff_deflate")
    ],
    "bmp": [_saved("BMP", "RGB"), _saved("BMP", "P")],
}


@st.composite
def changed_bytes(draw: DrawFn) -> tuple[str, bytes]:
    """A picture with bytes replaced, cut out, doubled or cut off."""
    kind = draw(st.sampled_from(sorted(WHOLE)))
    content = bytearray(draw(st.sampled_from(WHOLE[kind])))
    for _ in range(draw(st.integers(1, 4))):
        near = draw(st.sampled_from([40, 200, len(content)]))  # headers are near the start
        place = draw(st.integers(0, max(0, min(near, len(content)) - 1)))
        size = draw(st.integers(1, 40))
        change = draw(st.sampled_from(["replace", "number", *CHANGES]))
        if change == "replace":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=8))
        elif change == "number":
            order, number = draw(st.sampled_from("<>")), draw(NUMBERS)
            content[place : place + 4] = struct.pack(f"{order}I", number)
        else:
            change_bytes(content, change, place, size)
    return kind, _summed(bytes(content)) if kind == "png" and draw(st.booleans()) else bytes(content)


def _summed(png: bytes) -> bytes:
    """The same PNG with the checksums that its chunks should have, so that their content is looked at."""
    done, place = png[:8], 8
    while place + 12 <= len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + size]
        done += png[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + size
    return done


@st.composite
def directories(draw: DrawFn) -> bytes:
    """Header and directory of a TIFF, as EXIF is one too, with any tags, types, counts and values."""
    order = draw(st.sampled_from("<>"))
    entries = draw(st.lists(st.tuples(TAGS, st.integers(0, 20), NUMBERS, NUMBERS), min_size=1, max_size=12))
    if draw(st.booleans()):
        turned = 6 if order == "<" else 6 << 16
        entries.insert(0, (0x0112, 3, 1, turned))
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    count = draw(st.sampled_from([len(entries), len(entries), 0, len(entries) + 3, 65_535]))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, count)
    return head + body + draw(st.binary(max_size=60))


@st.composite
def changed_exif(draw: DrawFn) -> tuple[str, bytes]:
    """A sound picture with EXIF of any content, or a TIFF that is nothing else."""
    block = b"Exif\0\0" + draw(directories() | st.binary(max_size=60))
    kind = draw(st.sampled_from(["jpg", "png", "webp", "tif"]))
    if kind == "tif":
        return kind, block[6:]
    buffer = BytesIO()
    Image.new("RGB", (40, 24)).save(buffer, {"jpg": "JPEG"}.get(kind, kind.upper()), exif=block)
    return kind, buffer.getvalue()


def pictures() -> SearchStrategy[tuple[str, bytes]]:
    """Suffix and content of a changed picture."""
    return changed_bytes() | changed_exif()


def picture_outcome(file: Path) -> str:
    """`read`, or the sentence with which a picture is refused."""
    size = size_or_reason(file)
    try:
        picture = load_picture(file, Crop((40, 24) if isinstance(size, str) else size, (64, 64)))
    except SCEditError as error:
        if not str(error).isprintable() or len(str(error)) > 400:
            raise ValueError(f"{str(error)!a} is no plain sentence") from error
        return str(error)
    if picture.shape != (64, 64, 3) or picture.dtype != np.uint8:
        raise ValueError(f"a picture of {picture.shape} and {picture.dtype} came out")
    return "read" if not isinstance(size, str) else size
