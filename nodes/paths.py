"""Where tuner files lie: the model folder `scedit` and what it holds."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path, PurePosixPath

import folder_paths

from ..scedit_core import SCEditError
from ..scedit_core.files import PUBLISHED_NAMES, WEIGHT_SUFFIXES

FOLDER_KEY = "scedit"

_SOURCES = (
    "the published ones are on ModelScope (iic/scepter_scedit) and on Hugging Face "
    "(scepter-studio/scepter_scedit)"
)
# Folders that swift puts between a tuner's folder and its weights.
_ADAPTER_FOLDER = re.compile(r"\d+_Swift\w+|default")

# Part of a path that means the same on every system: no drive, no parent, no reserved character, no edge dot.
_PLAIN_NAME = re.compile(r"(?![. ])[^<>:\"/\\|?*\x00-\x1f]{1,120}(?<![. ])")

_log = logging.getLogger(__name__)


def register_tuner_folder() -> None:
    """Add models/scedit, beside any path that the user's extra_model_paths.yaml gave this key."""
    folder = str(own_folder())
    folder_paths.add_model_folder_path(FOLDER_KEY, folder)
    paths, suffixes = folder_paths.folder_names_and_paths[FOLDER_KEY]
    folder_paths.folder_names_and_paths[FOLDER_KEY] = (paths, {*suffixes, *WEIGHT_SUFFIXES})
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        _log.warning("SCEdit: could not make the tuner folder %s: %s", folder, error)


def own_folder() -> Path:
    """models/scedit, where tuners are saved."""
    return Path(folder_paths.models_dir, FOLDER_KEY)


def tuner_names() -> list[str]:
    """Names of all tuner files and published folders, with forward slashes on every system."""
    files = folder_paths.get_filename_list(FOLDER_KEY)
    return sorted({_shown_name(PurePosixPath(file.replace(os.sep, "/"))) for file in files})


def _shown_name(file: PurePosixPath) -> str:
    """A published folder goes by its own name, not by that of the weight file inside."""
    folder = file.parent
    if file.name in PUBLISHED_NAMES and _ADAPTER_FOLDER.fullmatch(folder.name):
        folder = folder.parent
    is_published = file.name in PUBLISHED_NAMES and folder.name
    return str(folder if is_published else file)


def tuner_path(name: str) -> Path:
    """Path of a tuner by its listed name. Raises SCEditError naming the folders searched."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    folders = folder_paths.get_folder_paths(FOLDER_KEY)
    if parts and not any(part == ".." or part.endswith(":") or part == "/" for part in parts):
        for folder in folders:
            path = Path(folder, *parts)
            if path.exists():
                return path
    raise SCEditError(
        f"no tuner '{name}' in {' or '.join(folders)}; put the file or folder there and press R, {_SOURCES}"
    )


def tuner_fingerprint(name: str) -> tuple[tuple[str, int, int], ...]:
    """Changes when the file, or a file in the folder, is replaced."""
    path = tuner_path(name)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple(
        (file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()
    )


def new_tuner(name: str, *, replace: bool, suffix: str = ".safetensors") -> Path:
    """Where to save a tuner in models/scedit (suffix "": a folder); with a number if it may replace none."""
    target = new_file(own_folder(), name, suffix)
    number, plain = 1, target.name.removesuffix(suffix)
    while target.exists() and not replace:
        number += 1
        target = target.with_name(f"{plain}-{number}{suffix}")
    return target


def new_file(folder: Path, name: str, suffix: str = ".safetensors") -> Path:
    """`folder/name.safetensors`, its folders made. Raises SCEditError for a name that leads elsewhere."""
    plain = re.sub(r"\.safetensors$", "", name.strip().replace("\\", "/"))
    parts = PurePosixPath(plain).parts
    if not parts or not all(_PLAIN_NAME.fullmatch(part) for part in parts):
        raise SCEditError(
            f"'{name}' is no name for a file here; use letters, numbers, - and _, with / between folders"
        )
    target = folder.joinpath(*parts[:-1], f"{parts[-1]}{suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SCEditError(
            f"the folder {target.parent} cannot be made ({error.strerror or error}); choose another name"
        ) from error
    return target
