"""Picture files: which are pictures, how large they are, and the part of one that is trained on."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ...errors import SCEditError, shown
from .buckets import Crop

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Pillow goes by the content of a file, not by its name, and some of its formats start other programs.
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
# Pictures are held whole before they are cropped: in 4 bytes a pixel, those of WebP in 15.
_MOST_PIXELS, _MOST_WEBP_PIXELS = 100_000_000, 50_000_000
_MOST_SCANS = 100  # of a JPEG: a progressive one has about ten, and each takes the time of a whole picture
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: values that swap width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# what Pillow raises for an EXIF block that is damaged
_BAD_EXIF = (AttributeError, LookupError, SyntaxError, TypeError, ValueError, ArithmeticError, struct.error)
# and for files that are damaged, foreign or absurdly large
_UNREADABLE = (*_BAD_EXIF, OSError, EOFError, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class FilePart:
    """A file that lies whole in another one, such as a tar, at this place."""

    name: str
    archive: Path
    offset: int
    size: int

    def open(self, _mode: str = "rb", /) -> BinaryIO:
        """Its content, in memory."""
        return io.BytesIO(self._content)

    @cached_property
    def _content(self) -> bytes:
        with self.archive.open("rb") as opened:
            opened.seek(self.offset)
            return opened.read(self.size)


File = Path | FilePart  # what a picture or a text is read from


def is_picture(file: Path) -> bool:
    """Whether a file's name ends as those of pictures do."""
    return file.suffix.lower() in PICTURE_SUFFIXES


def size_or_reason(path: Path) -> tuple[int, int] | str:
    """Width and height of an upright picture that can be read to its end, or its name and what is wrong."""
    try:
        with _opened(path) as image:
            size = image.size
            if _is_jpeg(image):
                image.draft("RGB", (1, 1))  # read at an eighth of its size: only its errors count here
                _load(image)
            else:
                _load(image)
                size = image.size  # Pillow turns a TIFF upright while it loads it
            _check_mode(image)
            turned = _orientation(image) in _TURNED
    except _UNREADABLE as error:
        return f"'{shown(path.name)}' ({shown(str(error))})"
    return size[::-1] if turned else size


def load_picture(
    path: Path, crop: Crop, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> np.ndarray:
    """The crop of a picture: RGB uint8 (H, W, 3), turned as EXIF says, 16 bits reduced to 8, no alpha.

    A file of another size than the crop was made for gives the same part of it. A JPEG of more than 100
    million pixels is read at a half, a quarter or an eighth of its size where that is still twice the crop's.
    """
    return _fitted(_read(path, lambda _width, _height: crop)[0], crop, resampling)


def load_cropped(
    file: File,
    choose: Callable[[int, int], Crop],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> tuple[np.ndarray, Crop]:
    """What `load_picture` gives for the crop that `choose` makes of its width and height, and that crop.

    The file is read once. Raises SCEditError with its name if it cannot be read.
    """
    image, crop = _read(file, choose)
    return _fitted(image, crop, resampling), crop


def _fitted(image: Image.Image, crop: Crop, resampling: Image.Resampling) -> np.ndarray:
    """The crop of an upright picture, which may have been read at a part of its size."""
    across, down = image.width / crop.original[0], image.height / crop.original[1]
    left, top, right, bottom = crop.box
    box = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
    return np.array(image.resize(crop.size, resampling, box=box))


def _read(path: File, choose: Callable[[int, int], Crop]) -> tuple[Image.Image, Crop]:
    """A picture as RGB, upright, and what `choose` makes of its width and height.

    Raises SCEditError with its name if it cannot be read.
    """
    try:
        with _opened(path) as image:
            crop = choose(*_upright_size(image)) if _is_jpeg(image) else None
            if crop is not None and image.width * image.height > _MOST_PIXELS:
                wanted = 2 * crop.scale
                image.draft("RGB", (round(wanted * image.width), round(wanted * image.height)))
            _load(image)
            _check_mode(image)
            turn = _TURNS.get(_orientation(image))
            upright = _to_rgb(image if turn is None else image.transpose(turn))
            return upright, crop or choose(*upright.size)
    except _UNREADABLE as error:
        raise SCEditError(
            f"'{shown(path.name)}' cannot be read ({shown(str(error))}); replace or remove it"
        ) from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image) in _TURNED else (width, height)


def _check_mode(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers of unknown range")


def _opened(path: File) -> Image.Image:
    """A picture whose header was read. ValueError for one that takes more memory or time than it may."""
    with path.open("rb") as file:
        start = file.read(30)
    if start[:4] == b"RIFF":  # Pillow allocates all of it on opening
        _check_size(*_webp_size(start), _MOST_WEBP_PIXELS)
    image = Image.open(path if isinstance(path, Path) else path.open("rb"), formats=_FORMATS)
    if _is_jpeg(image):
        with path.open("rb") as file:
            scans = file.read().count(b"\xff\xda")
        if scans > _MOST_SCANS:
            raise ValueError(f"it is a JPEG of {scans} scans")
    if not _is_jpeg(image) or "progressive" in image.info:  # those cannot be read in part
        _check_size(*image.size, _MOST_PIXELS)
    return image


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in (
        "JPEG",
        "MPO",
    )  # the second: several pictures in one JPEG, of which the first counts


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise ValueError(
            f"it has {width} x {height} pixels, of which {most // 1_000_000} million at most are read"
        )


def _webp_size(start: bytes) -> tuple[int, int]:
    """Width and height that the first 30 bytes of a WebP file tell (RFC 9649)."""
    kind, size = start[12:16], start[20:].ljust(10, b"\0")
    if kind == b"VP8X":
        width, height = (int.from_bytes(size[place : place + 3], "little") + 1 for place in (4, 7))
        return width, height
    if kind == b"VP8L":
        bits = int.from_bytes(size[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = (int.from_bytes(size[place : place + 2], "little") & 0x3FFF for place in (6, 8))
    return width, height


def _load(image: Image.Image) -> None:
    """Read the pixels, of a TIFF even if its EXIF is damaged."""
    try:
        image.load()
    except _BAD_EXIF:
        if image.format != "TIFF":
            raise
        image.load()  # it reads its EXIF once the pixels are there, and they are what counts


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how a picture lies, 1 to 8; 1, upright, if the EXIF cannot be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (*_BAD_EXIF, OSError):
        return 1
    return orientation if isinstance(orientation, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion cuts them off at 255
        levels = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
