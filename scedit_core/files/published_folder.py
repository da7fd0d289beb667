"""A published folder on the disk: written whole, and replaced only where this pack wrote it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SCEditError, shown, some
from .durable import PART, beside, folders_for, not_written, sync_file, sync_folder, write_whole
from .limits import MOST_JSON

ADAPTER = "0_SwiftSCETuning"
STYLE_SETTINGS, STYLE_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SETTINGS, CONTROL_WEIGHTS = "configuration.json", "pytorch_model.bin"
NO_SETTINGS = b"{}\n"

_FILES = (STYLE_SETTINGS, STYLE_WEIGHTS, SETTINGS, CONTROL_WEIGHTS)
_OLD = ".old"  # ends the name of an adapter that is being replaced
# What a process that was killed may have left beside them.
_LEFT_OVER = re.compile(rf"{ADAPTER}\.[0-9a-f]{{8}}({_OLD}|{PART})")
_LEFT_SETTINGS = re.compile(rf"{SETTINGS}\.[0-9a-f]{{8}}{PART}")


def settings_text(value: Mapping[str, Any]) -> bytes:
    """Settings as this pack writes them."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_adapter(folder: Path, adapter: Mapping[str, bytes], settings: bytes | None) -> None:
    """Write the files of an adapter to a published folder, with or without settings beside it.

    At every moment the folder is not there, or a whole old or new adapter is read from it, after a power cut
    too (fsync of files and folders before and after each renaming; of folders not on Windows). Raises
    SCEditError for a folder that holds anything else than this writes, and if it cannot be written; then
    nothing is left or changed.
    """
    is_there = os.path.lexists(folder)
    if is_there:
        _check_ours(folder)
    outside = {} if settings is None else {SETTINGS: settings}
    try:
        with folders_for(folder):
            if is_there:
                _replace(folder, adapter, outside)
            else:
                _write_new(folder, adapter, outside)
    except OSError as error:
        raise not_written(folder, error) from error


def _write_new(folder: Path, adapter: Mapping[str, bytes], outside: Mapping[str, bytes]) -> None:
    part = beside(folder, PART)
    try:
        _write_files(part / ADAPTER, adapter)
        _write_files(part, outside)
        os.replace(part, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # made here, under a name that nothing else has


def _replace(folder: Path, adapter: Mapping[str, bytes], outside: Mapping[str, bytes]) -> None:
    """Exchange the adapter by two renamings; between them the old one is read under its other name."""
    place = folder / ADAPTER
    new, old = beside(place, PART), beside(place, _OLD)
    try:
        _write_files(new, adapter)
        sync_folder(folder)
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
        sync_folder(folder)
    finally:
        if old.exists() and not place.exists():
            os.replace(old, place)
        shutil.rmtree(new, ignore_errors=True)
    if outside:
        write_whole(folder / SETTINGS, outside[SETTINGS])
    else:
        (folder / SETTINGS).unlink(missing_ok=True)
    for entry in list(folder.iterdir()):
        if _LEFT_SETTINGS.fullmatch(entry.name):
            entry.unlink()
        elif _LEFT_OVER.fullmatch(entry.name):
            _remove(entry)
    sync_folder(folder)


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        sync_file(folder / name)
    sync_folder(folder)


def _remove(adapter: Path) -> None:
    """Remove an adapter's own files, and its folder if nothing else is in it."""
    with contextlib.suppress(OSError):  # one that stays harms nobody: another is read before it
        for name in _FILES:
            (adapter / name).unlink(missing_ok=True)
        adapter.rmdir()


def _check_ours(folder: Path) -> None:
    try:
        found = _foreign(folder)
    except OSError as error:
        found = error.strerror or str(error)
    if found:
        raise SCEditError(
            f"'{shown(folder.name)}' is there already and is no tuner that was saved here in this layout "
            f"({found}); choose another name; nothing was changed"
        )


def _foreign(folder: Path) -> str:
    """What tells a folder from one that this pack wrote, for a sentence; empty if nothing does."""
    if folder.is_symlink() or not folder.is_dir():
        return "it is a link" if folder.is_symlink() else "it is a file"
    odd = []
    for entry in folder.iterdir():
        is_folder = entry.is_dir() and not entry.is_symlink()
        if entry.name == ADAPTER and is_folder:
            odd += [file.name for file in entry.iterdir() if not _is_own(file)]
        elif is_folder and _LEFT_OVER.fullmatch(entry.name):
            odd += [file.name for file in entry.iterdir() if file.name not in _FILES]
        elif not _is_file(entry) or not _is_settings(entry):
            odd.append(entry.name)
    return f"it holds {some(odd)}" if odd else ""


def _is_settings(file: Path) -> bool:
    is_own = file.name == SETTINGS and file.stat().st_size == len(NO_SETTINGS)
    return (is_own and file.read_bytes() == NO_SETTINGS) or _LEFT_SETTINGS.fullmatch(file.name) is not None


def _is_own(file: Path) -> bool:
    """Whether an adapter's file has a name that is written here, and settings the form of ours."""
    if file.name not in _FILES or not _is_file(file):
        return False
    if file.suffix != ".json":
        return True
    try:
        text = file.read_bytes() if file.stat().st_size <= MOST_JSON else b""
        return settings_text(json.loads(text)) == text
    except (ValueError, RecursionError):
        return False


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
