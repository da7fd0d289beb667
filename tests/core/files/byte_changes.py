"""Changes of a file's bytes that damage it where nobody thought of: cut out, said twice, cut off."""

from __future__ import annotations

CHANGES = ("cut out", "double", "cut off")


def change_bytes(content: bytearray, change: str, place: int, size: int) -> None:
    """One of CHANGES made to a file's content, in place, to `size` bytes from `place` on."""
    if change == "cut out":
        del content[place : place + size]
    elif change == "double":
        content[place:place] = content[place : place + size]
    else:
        del content[place:]
