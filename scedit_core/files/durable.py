"""Files that are there whole or not at all, whenever the process or the power ends.

The order is always the same: the content is written under another name and brought to the disk (fsync), then
it takes its own name, then the folder is brought to the disk. Windows has no such thing for folders; there
the second step is all there is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..errors import SCEditError, shown

PART = ".part"  # ends the name of what is not whole yet; nothing reads it


def write_whole(target: Path, *pieces: bytes | memoryview) -> None:
    """Write a file of these pieces, and the folders that it needs; a file that was there stays until then.

    Raises SCEditError if that fails; nothing is left of it, not even the folders.
    """
    part = beside(target, PART)
    try:
        with folders_for(target):
            try:
                with part.open("xb") as file:
                    for piece in pieces:
                        file.write(piece)
                put_in_place(part, target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(target, error) from error


def put_in_place(part: Path, target: Path) -> None:
    """Give a file that is whole its name, in place of one that has it; both outlast a power cut."""
    sync_file(part)
    os.replace(part, target)
    sync_folder(target.parent)


def beside(target: Path, end: str) -> Path:
    """A path beside another one that nothing has: its name, a random number and this end."""
    return target.with_name(f"{target.name}.{secrets.token_hex(4)}{end}")


def sync_file(file: Path) -> None:
    """Have the content of a file on the disk."""
    with file.open("rb+") as opened:  # Windows asks for a file that may be written
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives refuse it for folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def folders_for(target: Path) -> Iterator[None]:
    """Make the folders that a path needs; if what is done with it fails, those made are taken away again."""
    missing = [folder for folder in target.parents if not os.path.lexists(folder)]  # the deepest first
    is_done = False
    try:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)
        yield
        is_done = True
    finally:
        with contextlib.suppress(OSError):  # something else may have been put there meanwhile
            for folder in [] if is_done else missing:
                folder.rmdir()


def not_written(target: Path, error: OSError) -> SCEditError:
    """The sentence for a place that cannot be written."""
    is_locked = isinstance(error, PermissionError)
    remedy = "close the program that has it open" if is_locked else "make room"
    return SCEditError(
        f"'{shown(target.name)}' could not be written to {shown(target.parent, 400)} "
        f"({error.strerror or error}); {remedy} or choose another place; nothing half written is left"
    )
