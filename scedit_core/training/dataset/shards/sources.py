"""Where the pictures of a data set come from: what is known of each before it is read."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ....errors import SCEditError, shown
from ..captions import read_caption
from ..folder import natural_order
from ..pictures import File, is_picture


@dataclass(frozen=True)
class Source:
    """A picture on its way into a data set.

    `name` tells it from all others of the set. `version` changes with its files, which are not read for that.
    A caption is a text or a file with one, None if there is none; `hint` is a ready hint.
    """

    name: str
    version: tuple[object, ...]
    picture: File
    caption: File | str | None = None
    hint: File | None = None

    def text(self) -> str | None:
        """The caption. Raises SCEditError for a file that holds none."""
        if self.caption is None or isinstance(self.caption, str):
            return self.caption
        return read_caption(self.caption)

    def stamp(self, *settings: object) -> int:
        """64 bits that change with the files and with these settings."""
        told = repr((self.name, self.version, settings))
        return int.from_bytes(hashlib.sha256(told.encode("utf-8", "surrogateescape")).digest()[:8], "big")


@dataclass
class LeftOut:
    """What does not become an example, and why: all are counted, the first few are named."""

    most: int = 5
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Count one; `reason` names it."""
        self.count += 1
        if len(self.first) < self.most:
            self.first.append(shown(reason, 200))

    def told(self) -> str:
        """The first of them, and how many more there are."""
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more} more" if more else "")


class Sources(Protocol):
    """Pictures in an order of their own, which is the same each time while nothing changes."""

    def walk(self, left_out: LeftOut) -> Iterator[Source]:
        """Each picture; what cannot be one is counted in `left_out`."""
        ...


@dataclass(frozen=True)
class FolderSources:
    """The pictures in a folder and in those below it, with captions in .txt files of the same names.

    Ready hints lie in the folder `hint_folder` of it, in the same folders and with the same names as their
    pictures. Of each folder the names are held in memory while it is walked.
    """

    root: Path
    hint_folder: str | None = None

    def walk(self, left_out: LeftOut) -> Iterator[Source]:
        """Pictures in natural order, folder by folder; links to folders are not followed."""
        yield from self._walk(self.root, (), left_out)

    def _walk(self, folder: Path, inside: tuple[str, ...], left_out: LeftOut) -> Iterator[Source]:
        files, folders = _listing(folder)
        captions = {_stem(file): file for file in files if file.suffix.lower() == ".txt"}
        hints = self._hints(inside)
        for file in files:
            if is_picture(file):
                stem = _stem(file)
                yield _from_files("/".join([*inside, file.name]), file, captions.get(stem), hints.get(stem))
            elif file.suffix.lower() != ".txt":
                left_out.add(f"'{'/'.join([*inside, file.name])}' (no picture)")
        for child in folders:
            if inside or child.name != self.hint_folder:
                yield from self._walk(child, (*inside, child.name), left_out)

    def _hints(self, inside: tuple[str, ...]) -> dict[str, Path]:
        if self.hint_folder is None:
            return {}
        folder = self.root.joinpath(self.hint_folder, *inside)
        if not folder.is_dir():
            return {}
        return {_stem(file): file for file in _listing(folder)[0] if is_picture(file)}


def _from_files(name: str, picture: Path, caption: Path | None, hint: Path | None) -> Source:
    files = [file for file in (picture, caption, hint) if file is not None]
    return Source(name, tuple(map(file_version, files)), picture, caption, hint)


def file_version(file: Path) -> tuple[str, int, int]:
    """What changes when a file does: its size and time. Of a file that is gone, neither."""
    try:
        found = os.stat(file)
    except OSError:
        return file.name, -1, -1
    return file.name, found.st_size, found.st_mtime_ns


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and folders in natural order; hidden ones are left out."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file():
                    files.append(entry.name)
    except OSError as error:
        raise SCEditError(
            f"folder '{shown(folder.name)}' cannot be read ({error.strerror or error}); check its permissions"
        ) from error
    return _sorted(folder, files), _sorted(folder, folders)


def _sorted(folder: Path, names: list[str]) -> list[Path]:
    return [folder / name for name in sorted(names, key=_order)]


def _order(name: str) -> tuple[object, ...]:
    return natural_order(Path(name).stem), name


def _stem(file: Path) -> str:
    return unicodedata.normalize("NFC", file.stem)  # macOS writes accents as characters of their own
