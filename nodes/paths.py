"""Where tuner files lie: the model folder `scedit` and what it holds."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import folder_paths

from ..scedit_core import SCEditError
from ..scedit_core.errors import shown
from ..scedit_core.files import PUBLISHED_NAMES, WEIGHT_SUFFIXES

FOLDER_KEY = "scedit"
ANNOTATOR_KEY = "scedit_annotators"

_SOURCES = (
    "the published ones are on ModelScope (iic/scepter_scedit) and on Hugging Face "
    "(scepter-studio/scepter_scedit)"
)
# Folders that swift puts between a tuner's folder and its weights.
_ADAPTER_FOLDER = re.compile(r"\d+_Swift\w+|default")
_OTHER_ADAPTER = re.compile(r"\d+_Swift(?!SCE)\w+")

# Part of a path that means the same on every system: no drive, no parent, no reserved character, no edge dot.
_PLAIN_NAME = re.compile(r"(?![. ])[^<>:\"/\\|?*\x00-\x1f]{1,120}(?<![. ])")

_log = logging.getLogger(__name__)


def register_tuner_folder() -> None:
    """Add models/scedit, beside any path that the user's extra_model_paths.yaml gave this key."""
    _register(FOLDER_KEY, own_folder())


def register_annotator_folder() -> None:
    """Add models/scedit_annotators, for the weights of hint nodes, likewise."""
    _register(ANNOTATOR_KEY, annotator_folder())


def _register(key: str, folder: Path) -> None:
    folder_paths.add_model_folder_path(key, str(folder))
    paths, suffixes = folder_paths.folder_names_and_paths[key]
    folder_paths.folder_names_and_paths[key] = (paths, {*suffixes, *WEIGHT_SUFFIXES})
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        _log.warning("SCEdit: could not make the folder %s: %s", folder, error)


def own_folder() -> Path:
    """models/scedit, where tuners are saved."""
    return Path(folder_paths.models_dir, FOLDER_KEY)


def annotator_folder() -> Path:
    """models/scedit_annotators, where downloads go."""
    return Path(folder_paths.models_dir, ANNOTATOR_KEY)


def annotator_folders() -> list[Path]:
    """All folders for the weights of hint nodes: ours, and those of extra_model_paths.yaml."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(ANNOTATOR_KEY)]


def preprocessor_packs() -> list[Path]:
    """Folders in which other preprocessor packs that are installed keep such weights."""
    packs = [
        pack for folder in folder_paths.get_folder_paths("custom_nodes") for pack in Path(folder).glob("*")
    ]
    return [pack / "ckpts" for pack in sorted(packs) if "controlnet_aux" in pack.name.lower()]


def tuner_names() -> list[str]:
    """Names of all tuner files and published folders, with forward slashes on every system.

    Left out are adapters of other kinds that lie in published folders, and names that no saved graph can
    hold. A folder of several tuners is listed with each of them after it.
    """
    files = [PurePosixPath(f.replace(os.sep, "/")) for f in folder_paths.get_filename_list(FOLDER_KEY)]
    files = [file for file in files if _is_text(str(file)) and not _OTHER_ADAPTER.fullmatch(file.parent.name)]
    folders = {file.parent for file in files if _is_adapter(file)}
    count = Counter(folder.parent for folder in folders)
    each = {str(folder) for folder in folders if count[folder.parent] > 1}
    return sorted({_shown_name(file) for file in files} | each)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_adapter(file: PurePosixPath) -> bool:
    """True for weights in a folder that swift made inside the tuner's own."""
    return file.name in PUBLISHED_NAMES and _ADAPTER_FOLDER.fullmatch(file.parent.name) is not None


def _shown_name(file: PurePosixPath) -> str:
    """A published folder goes by its own name, not by that of the weight file inside."""
    folder = file.parent.parent if _is_adapter(file) else file.parent
    is_published = file.name in PUBLISHED_NAMES and folder.name
    return str(folder if is_published else file)


def tuner_path(name: str) -> Path:
    """Path of a tuner by its listed name. Raises SCEditError naming the folders searched."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    folders = folder_paths.get_folder_paths(FOLDER_KEY)
    if parts and not any(part == ".." or part.endswith(":") or part == "/" for part in parts):
        for folder in folders:
            path = Path(folder, *parts)
            if os.path.exists(path):  # unlike Path.exists, false also for a name that no file can have
                return path
    raise SCEditError(
        f"no tuner '{shown(name)}' in {' or '.join(folders)}; put the file or folder there and press R, "
        f"{_SOURCES}"
    )


def missing_tuner(name: str | None) -> bool | str:
    """True if the name leads to a tuner (or comes from a link), else what to do about it."""
    try:
        if name is not None:
            tuner_path(name)
    except SCEditError as error:
        return str(error)
    return True


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
            f"'{shown(name)}' is no name for a file here; use letters, numbers, - and _, with / between "
            "folders"
        )
    target = folder.joinpath(*parts[:-1], f"{parts[-1]}{suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SCEditError(
            f"the folder {target.parent} cannot be made ({error.strerror or error}); choose another name"
        ) from error
    return target
