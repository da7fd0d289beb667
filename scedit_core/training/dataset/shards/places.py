"""Which kind of source a place is."""

from __future__ import annotations

from pathlib import Path

from ....errors import SCEditError, shown
from ..folder import below
from ..pictures import is_picture
from .list_sources import LISTS, ListSources
from .sources import FolderSources, Sources
from .tar_sources import TarSources


def open_sources(place: Path, hint_folder: str | None = None) -> Sources:
    """The pictures of a place: a .csv or .jsonl list, a folder of .tar shards, or one of pictures.

    `hint_folder` is the name of the folder of ready hints in a folder of pictures, if they are asked for.
    Raises SCEditError for a place that is none of these.
    """
    if place.suffix.lower() in LISTS and place.is_file():
        return ListSources(place)
    if not place.is_dir():
        raise SCEditError(
            f"'{shown(place.name)}' is no folder and no {' or '.join(LISTS)} list; choose what holds the "
            "pictures"
        )
    files = [file for file in place.iterdir() if file.is_file()]
    if any(file.suffix.lower() == ".tar" for file in files) and not any(map(is_picture, files)):
        return TarSources(place)
    if hint_folder is not None:
        below(place, hint_folder)  # refuses a name that leads out
    return FolderSources(place, hint_folder)
