"""Folders and lists of training pictures: their names for a widget, and what changes when their files do.

A folder is read again only when its own time changed. ComfyUI asks for lists of names many times, and an
input folder may hold a hundred thousand pictures.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import folder_paths

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown, some
from ...scedit_core.training.dataset.folder import below, natural_order
from ...scedit_core.training.dataset.pictures import PICTURE_SUFFIXES, is_picture
from ...scedit_core.training.dataset.shards.list_sources import LISTS

FOLDER_KEY = "scedit_datasets"  # in extra_model_paths.yaml
NONE_YET = "no folders yet: make one in ComfyUI's input folder and press R"

_SETTLED = 2_000_000_000  # ns after which a folder's time tells every change: some systems count in seconds


class _Listing(NamedTuple):
    """What a folder held when its own time, in ns, was `time`."""

    time: int
    has_pictures: bool
    folders: tuple[str, ...]
    has_tars: bool = False
    lists: tuple[str, ...] = ()


_listings: dict[str, _Listing] = {}  # by path


def folder_names() -> list[str]:
    """Folders with pictures, below all roots, with forward slashes; NONE_YET alone if there are none."""
    found = {
        os.path.relpath(place, root).replace(os.sep, "/")
        for root in _roots()
        for place, listing in _walk(str(root))
        if listing.has_pictures
    }
    return sorted(found - {"."}, key=natural_order) or [NONE_YET]


def source_names() -> list[str]:
    """All that a data set can be made of, below all roots, with forward slashes; NONE_YET alone if nothing.

    Folders with pictures or .tar shards in them or further down, and .csv and .jsonl lists.
    """
    found: set[str] = set()
    for root in _roots():
        for place, listing in _walk(str(root)):
            name = PurePosixPath(os.path.relpath(place, root).replace(os.sep, "/"))
            found |= {str(name / file) for file in listing.lists}
            if listing.has_pictures or listing.has_tars:
                found |= {str(name), *map(str, name.parents)}
    return sorted(found - {"."}, key=natural_order) or [NONE_YET]


def source_path(name: str) -> Path:
    """A folder or list by its listed name. Raises SCEditError naming the places searched."""
    is_list = isinstance(name, str) and name.lower().endswith(LISTS)
    for root in _roots() if is_list else ():
        path = below(root, name)
        if os.path.isfile(path):
            return path
    return folder_path(name)


def folder_path(name: str) -> Path:
    """A folder by its listed name. Raises SCEditError naming the places searched."""
    roots = _roots()
    places = " or ".join(map(str, roots))
    if name == NONE_YET:
        raise SCEditError(_no_folders(places))
    for root in roots:
        path = below(root, name)
        if os.path.isdir(path):  # unlike Path.is_dir, false also for a name that no folder can have
            return path
    raise SCEditError(
        f"no folder '{shown(name)}' in {shown(places, 500)}; make it there, put pictures into it and press R"
    )


def folder_fingerprint(*folders: Path) -> str:
    """Changes with names, times and sizes of what is in these folders, each read once, not further down."""
    stamps = sorted(stamp for folder in folders for stamp in _stamps(folder))
    return hashlib.sha256(repr(stamps).encode("utf-8", "surrogateescape")).hexdigest()


def _roots() -> list[Path]:
    """ComfyUI's input folder, and the folders that extra_model_paths.yaml gives."""
    paths, _ = folder_paths.folder_names_and_paths.get(FOLDER_KEY, ([], set()))
    return [Path(folder_paths.get_input_directory()), *map(Path, paths)]


def _no_folders(places: str) -> str:
    empty = [name for root in _roots() for name in _listing(str(root)).folders]
    them = f"; folders without pictures are not listed ({some(empty)})" if empty else ""
    kinds = ", ".join(PICTURE_SUFFIXES)
    return (
        f"there is no folder with pictures in {places} yet; make one, put at least one picture into it "
        f"({kinds}) and press R{them}"
    )


def _walk(place: str) -> Iterator[tuple[str, _Listing]]:
    listing = _listing(place)
    yield place, listing
    for name in listing.folders:
        yield from _walk(os.path.join(place, name))


def _listing(place: str) -> _Listing:
    try:
        changed = os.stat(place).st_mtime_ns
    except OSError:
        return _Listing(0, False, ())
    known = _listings.get(place)
    if known is not None and known.time == changed:
        return known
    listing = _Listing(changed, *_read(place))
    if time.time_ns() - changed > _SETTLED:
        _listings[place] = listing
    return listing


def _read(place: str) -> tuple[bool, tuple[str, ...], bool, tuple[str, ...]]:
    """What a folder holds, as _Listing has it; links may lead round in circles and are left out."""
    has_pictures, folders, has_tars, lists = False, [], False, []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                has_pictures = has_pictures or is_picture(Path(entry.name))
                has_tars = has_tars or entry.name.lower().endswith(".tar")
                if entry.name.lower().endswith(LISTS):
                    lists.append(entry.name)
    except OSError:
        return False, (), False, ()
    return has_pictures, tuple(folders), has_tars, tuple(lists)


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found = entry.stat()
                if entry.is_file():
                    yield entry.path, found.st_mtime_ns, found.st_size
                else:  # of a folder only the name counts
                    yield entry.path, 0, 0
    except OSError:
        return
