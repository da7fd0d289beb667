"""A font made for tests: Pillow's own, whose letters answer to Chinese characters."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import ImageFont

FIRST_GLYPH = 36  # of those with something to see


def write_font(path: Path, first: str, count: int) -> Path:
    """Write a TrueType font of ASCII, the ellipsis and so many letters from `first` on, of whatever looks."""
    source = ImageFont.load_default(10).font_bytes
    count_of_tables = struct.unpack_from(">H", source, 4)[0]
    records = [struct.unpack_from(">4sLLL", source, 12 + 16 * number) for number in range(count_of_tables)]
    tables = {tag: source[offset : offset + length] for tag, _, offset, length in records}
    tables[b"cmap"] = _letters([(0x20, 95, 3), (ord("…"), 1, 40), (ord(first), count, FIRST_GLYPH)])
    offset = 12 + 16 * len(tables)
    head, body = source[:12], b""
    for tag, content in tables.items():
        head += struct.pack(">4sLLL", tag, 0, offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    path.write_bytes(head + body)
    return path


def _letters(groups: list[tuple[int, int, int]]) -> bytes:
    """A table of characters: groups of first character, count and first glyph (cmap, format 12)."""
    rows = b"".join(struct.pack(">LLL", first, first + count - 1, glyph) for first, count, glyph in groups)
    table = struct.pack(">HHLLL", 12, 0, 16 + len(rows), 0, len(groups)) + rows
    return struct.pack(">HHHHL", 0, 1, 3, 10, 12) + table
