"""Where tuner files lie: the model folder `scedit` and what it holds."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import folder_paths

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.files.disk import PUBLISHED_NAMES, WEIGHT_SUFFIXES
from ...scedit_core.files.durable import PART
from ...scedit_core.files.names import existing_parts, leads_out, new_parts

FOLDER_KEY = "scedit"
ANNOTATOR_KEY = "scedit_annotators"

SOURCES = (
    "the published ones are on ModelScope (iic/scepter_scedit) and on Hugging Face "
    "(scepter-studio/scepter_scedit)"
)
# Folders that swift puts between a tuner's folder and its weights.
_ADAPTER_FOLDER = re.compile(r"\d+_Swift\w+|default")
_OTHER_ADAPTER = re.compile(r"\d+_Swift(?!SCE)\w+")

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
    files = [file for file in files if _is_listed(file)]
    folders = {file.parent for file in files if _is_adapter(file)}
    count = Counter(folder.parent for folder in folders)
    each = {str(folder) for folder in folders if count[folder.parent] > 1}
    return sorted({_shown_name(file) for file in files} | each)


def _is_listed(file: PurePosixPath) -> bool:
    """False for what no graph can name, for adapters of other kinds, and for what is not whole yet."""
    is_whole = not any(part.endswith(PART) for part in file.parts)
    return is_whole and bool(existing_parts(str(file))) and not _OTHER_ADAPTER.fullmatch(file.parent.name)


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
    parts = existing_parts(name)
    folders = folder_paths.get_folder_paths(FOLDER_KEY)
    for folder in folders if parts else ():
        path = Path(folder, *parts)
        if os.path.exists(path):  # unlike Path.exists, false also for a name that no file can have
            return path
    raise SCEditError(
        f"no tuner '{shown(name)}' in {shown(' or '.join(folders), 500)}; put the file or folder there and "
        f"press R, {SOURCES}"
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
    """Changes when the file, or a file in the folder or in one inside it, is replaced."""
    path = tuner_path(name)
    files = _files_in(path) if path.is_dir() else [path]
    stats = ((str(file.relative_to(path.parent)), os.stat(file)) for file in sorted(files))
    return tuple((name, found.st_mtime_ns, found.st_size) for name, found in stats)


def _files_in(folder: Path) -> list[Path]:
    """Files in a folder and in the folders in it, where a tuner may lie; what is locked is left out."""
    inside = [Path(entry) for entry in _entries(folder)]
    inside += [Path(entry) for place in inside if os.path.isdir(place) for entry in _entries(place)]
    return [path for path in inside if os.path.isfile(path)]


def _entries(folder: Path) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder)]
    except OSError:
        return []


def new_tuner(name: str, *, replace: bool, suffix: str = ".safetensors") -> Path:
    """Where to save a tuner in models/scedit (suffix "": a folder); with a number if it may replace none."""
    target = new_file(own_folder(), name, suffix)
    number, plain = 1, target.name.removesuffix(suffix)
    while os.path.lexists(target) and not replace:
        number += 1
        target = target.with_name(f"{plain}-{number}{suffix}")
    return target


def new_file(folder: Path, name: str, suffix: str = ".safetensors") -> Path:
    """`folder/name.safetensors`, whose folders are made by whoever writes it.

    Raises SCEditError for a name that leads elsewhere, by a link too, or that not every system can hold.
    """
    *places, last = new_parts(re.sub(r"\.safetensors\s*$", "", name) if isinstance(name, str) else name)
    target = folder.joinpath(*places, f"{last}{suffix}")
    if leads_out(folder, target.parent):
        raise SCEditError(
            f"'{shown(name)}' leads out of {shown(folder, 500)} by a link; choose another name and move what "
            "is saved where you want it"
        )
    return target
