"""Picture files: which are pictures, how large they are, and the part of one that is trained on."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import SCEditError
from .buckets import Crop

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: values that swap width and height
# what Pillow raises for files that are damaged, foreign or absurdly large
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, zlib.error, Image.DecompressionBombError)


def is_picture(file: Path) -> bool:
    """Whether the name is that of a picture."""
    return file.suffix.lower() in PICTURE_SUFFIXES


def size_or_reason(path: Path) -> tuple[int, int] | str:
    """Width and height of an upright picture that can be read to its end, or its name and what is wrong."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            image.draft("RGB", (1, 1))  # a JPEG is read at an eighth of its size: only its errors count here
            image.load()
            if image.mode == "F":
                raise ValueError("its pixels are floating point numbers of unknown range")
    except _UNREADABLE as error:
        return f"'{path.name}' ({error})"
    return (height, width) if turned else (width, height)


def load_picture(
    path: Path, crop: Crop, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> np.ndarray:
    """The crop of a picture: RGB uint8 (H, W, 3), turned as EXIF says, 16 bits reduced to 8, no alpha.

    A file of another size than the crop was made for gives the same part of it.
    """
    image = _open(path)
    across, down = image.width / crop.original[0], image.height / crop.original[1]
    left, top, right, bottom = crop.box
    box = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
    return np.array(image.resize(crop.size, resampling, box=box))


def _open(path: Path) -> Image.Image:
    """A picture as RGB, upright. Raises SCEditError with its name if it cannot be read."""
    try:
        with Image.open(path) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except _UNREADABLE as error:
        raise SCEditError(f"'{path.name}' cannot be read ({error}); replace or remove it") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion cuts them off at 255
        levels = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    return image.convert("RGB")
