"""Pictures of an evaluation kept in folders of PNGs, for the tools that count FID and the like.

with, without    what was painted with the tuner and without it: seed by seed, and in each by number
real             the held-out pictures themselves, as the VAE shows them
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import SCEditError, shown
from ..files.durable import PART, beside, folders_for, not_written, sync_file, sync_folder
from .figures import Rows
from .record import OFF, ON

WITH, WITHOUT, REAL = "with", "without", "real"
_FOLDERS = {WITH, WITHOUT, REAL}
_FILE = re.compile(r"\d{6}\.png")
_OLD = ".old"  # ends the name of folders that are being replaced


def keep_pictures(target: Path, painted: Mapping[str, Rows], originals: Sequence[np.ndarray]) -> None:
    """Write the folders into `target`, in place of those of an earlier evaluation; pictures are uint8 RGB.

    They are there whole or not at all. Raises SCEditError if `target` holds anything else, or cannot be
    written; then it is as it was.
    """
    check_replaceable(target)
    kept = {
        WITH: chain.from_iterable(painted[ON]),
        WITHOUT: chain.from_iterable(painted[OFF]),
        REAL: iter(originals),
    }
    part, old = beside(target, PART), beside(target, _OLD)
    try:
        with folders_for(target):
            try:
                for name, pictures in kept.items():
                    _write(part / name, pictures)
                if target.exists():
                    os.replace(target, old)
                os.replace(part, target)
                sync_folder(target.parent)
            finally:
                if old.exists() and not target.exists():
                    os.replace(old, target)
                _remove_left_over(target)
    except OSError as error:
        raise not_written(target, error) from error


def check_replaceable(target: Path) -> None:
    """Raises SCEditError if something is at `target` that is not all of it what an evaluation kept."""
    if os.path.lexists(target) and not _is_ours(target):
        raise SCEditError(
            f"the pictures are kept in '{shown(target.name)}' in {shown(target.parent, 400)}, and there is "
            "something else of that name, or in it; move it away, or set keep_pictures to false"
        )


def _is_ours(folder: Path) -> bool:
    if not _is_real_folder(folder):
        return False
    inner = list(folder.iterdir())
    return all(one.name in _FOLDERS and _is_real_folder(one) for one in inner) and all(
        _FILE.fullmatch(file.name) and file.is_file() and not file.is_symlink()
        for one in inner
        for file in one.iterdir()
    )


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _write(folder: Path, pictures: Iterable[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        file = folder / f"{number:06d}.png"
        Image.fromarray(picture).save(file, "PNG")
        sync_file(file)
    sync_folder(folder)


def _remove_left_over(target: Path) -> None:
    """Remove what was replaced, and what a process that was ended has left of its own."""
    left_over = re.compile(rf"{re.escape(target.name)}\.[0-9a-f]{{8}}({_OLD}|{PART})")
    for entry in list(target.parent.iterdir()):
        if left_over.fullmatch(entry.name) and _is_ours(entry):
            shutil.rmtree(entry, ignore_errors=True)
