"""Pictures that strangers send: what they hold runs nothing, drowns nothing and turns nothing."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from folder_tools import ramp, save
from hypothesis import given, settings
from picture_tools import picture_outcome, pictures
from PIL import Image, ImageOps
from support import REPOSITORY

from scedit_core import SCEditError
from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.pictures import _webp_size, load_picture, size_or_reason

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(x) (w) file closefile\n"


def exif(*entries: tuple[int, int, int, int], order="<") -> bytes:
    """An EXIF block of entries (tag, type, count, value)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return b"Exif\0\0" + head + struct.pack(order + "H", len(entries)) + body + b"\0" * 4


TURNED = (0x0112, 3, 1, 6)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_postscript_named_like_a_picture_is_no_picture(tmp_path, monkeypatch, name):
    """Pillow would have Ghostscript run it."""
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **how: started.append(given))
    (tmp_path / name).write_bytes(POSTSCRIPT)
    assert "cannot identify" in size_or_reason(tmp_path / name)
    with pytest.raises(SCEditError, match=rf"'{name}' cannot be read"):
        load_picture(tmp_path / name, Crop((64, 64), (64, 64)))
    assert started == []


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TGA", "PCX", "SGI", "ICO", "PDF", "EPS"])
def test_only_the_formats_that_are_named_are_read(tmp_path, kind):
    ramp(64, 64).save(tmp_path / "a", kind)
    (tmp_path / "a").rename(tmp_path / "a.png")
    assert "cannot identify" in size_or_reason(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("turn", range(9))
def test_sizes_and_pixels_are_those_of_the_upright_picture(tmp_path, suffix, turn):
    how = {"exif": exif((0x0112, 3, 1, turn)), "lossless": True} if turn else {}
    path = save(tmp_path, f"a.{suffix}", ramp(96, 64), **how)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    assert size_or_reason(path) == upright.size == ((64, 96) if turn > 4 else (96, 64))
    assert np.array_equal(load_picture(path, Crop(upright.size, upright.size)), np.asarray(upright))


BAD_EXIF = {
    "a text where a number belongs": exif(TURNED, (0x0128, 2, 4, 0x41414141)),
    "no TIFF": b"Exif\0\0" + b"\x93" * 40,
    "nothing": b"Exif\0\0",
    "cut off": exif(TURNED)[:-8],
    "a pointer to nowhere": exif(TURNED, (0x8769, 4, 1, 2**32 - 1)),
    "a pointer of fractions": exif(TURNED, (0x8769, 5, 1, 8)),
    "a pointer into itself": exif(TURNED, (0x8769, 4, 1, 8)),
    "a pointer that is a text": exif(TURNED, (0x8825, 2, 4, 0x41414141)),
    "orientation as a text": exif((0x0112, 2, 4, 0x36363636)),
    "orientation 9": exif((0x0112, 3, 1, 9)),
    "two orientations": exif((0x0112, 3, 2, 6 | 8 << 16)),
    "billions of entries": exif(TURNED, (0x010F, 2, 2**32 - 1, 8)),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("block", BAD_EXIF.values(), ids=BAD_EXIF.keys())
def test_an_exif_block_that_cannot_be_read_ruins_no_picture(tmp_path, suffix, block):
    path = save(tmp_path, f"a.{suffix}", ramp(96, 64), exif=block)
    size = size_or_reason(path)
    assert size in [(96, 64), (64, 96)]
    assert load_picture(path, Crop(size, (64, 64))).shape == (64, 64, 3)


@pytest.mark.parametrize("group", [0x8769, 0x8825, 0xA005])
def test_a_tiff_with_damaged_exif_is_read(tmp_path, group):
    path = save(tmp_path, "a.tif", ramp(96, 64))
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    # the last entry of its directory becomes a pointer to what is no directory
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<HHII", content, start + 2 + 12 * (count - 1), group, 5, 1, 8)
    path.write_bytes(content)
    assert size_or_reason(path) == (96, 64)
    assert np.array_equal(load_picture(path, Crop((96, 64), (96, 64))), np.asarray(ramp(96, 64)))


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_ordinary_pictures_give_the_pixels_that_they_always_gave(tmp_path, mode):
    picture = ramp(300, 200).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    path = save(tmp_path, "a.png", picture, exif=exif(TURNED))
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    if mode == "I;16":
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    crop = Crop((200, 300), (64, 128))
    wanted = upright.convert("RGB").resize(crop.size, Image.Resampling.LANCZOS, box=crop.box)
    assert np.array_equal(load_picture(path, crop), np.asarray(wanted))


SEEN = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from scedit_core import SCEditError
from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.pictures import load_picture, size_or_reason
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[2:]):
    found = size_or_reason(path)
    try:
        picture = load_picture(path, Crop((13_300, 13_300), (64, 64)))
        found = found, picture.min(), picture.max()
    except SCEditError:
        pass
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, found)
"""


def black_png(side: int) -> bytes:
    """A square of any size in a few bytes."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(side * (1 + -(-side // 8))), 9),
        b"IEND": b"",
    }
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_large_pictures_take_no_more_memory_than_what_is_kept_of_them(tmp_path):
    large = [tmp_path / "a.png", save(tmp_path, "a.jpg", Image.new("L", (13_300, 13_300), 90))]
    large[0].write_bytes(black_png(13_300))
    # in a process of its own, whose peak is of nothing else
    command = [sys.executable, "-W", "ignore", "-c", SEEN, str(REPOSITORY), *map(str, large)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    refused, read = (line.split(" ", 1) for line in run.stdout.splitlines())
    assert int(refused[0]) < 50
    assert "13300 x 13300 pixels, of which 100 million" in refused[1]
    assert int(read[0]) < 100
    assert read[1] == "((13300, 13300), np.uint8(90), np.uint8(90))"


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        (b"VP8X", bytes(8) + (13_299).to_bytes(3, "little") * 2),
        (b"VP8L", bytes(4) + b"\x2f" + (13_299 | 13_299 << 14).to_bytes(4, "little")),
        (b"VP8 ", bytes(10) + struct.pack("<HH", 13_300, 13_300)),
    ],
    ids=["extended", "lossless", "lossy"],
)
def test_a_large_webp_is_refused_before_there_is_room_for_it(tmp_path, kind, rest):
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", 99) + b"WEBP" + kind + rest)
    assert "13300 x 13300 pixels, of which 50 million" in size_or_reason(tmp_path / "a.webp")


@pytest.mark.parametrize("how", [{}, {"lossless": True}, {"exif": exif(TURNED)}])
def test_the_size_that_a_webp_tells_is_its_size(tmp_path, how):
    path = save(tmp_path, "a.webp", ramp(300, 200), **how)
    assert _webp_size(path.read_bytes()[:30]) == (300, 200)


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    path = save(tmp_path, "a.jpg", ramp(300, 200), progressive=True)
    content = path.read_bytes()
    assert size_or_reason(path) == (300, 200)
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + last * 1000 + content[-2:])
    assert "JPEG of 10" in size_or_reason(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(changed=pictures())
def test_pictures_changed_at_random_are_read_or_refused_in_one_sentence(tmp_path_factory, changed):
    suffix, content = changed
    file = tmp_path_factory.getbasetemp() / f"changed.{suffix}"
    file.write_bytes(content)
    picture_outcome(file)
