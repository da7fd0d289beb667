"""The choice of a tuner: the lists that nodes offer, by kind, and what they refuse before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from comfy_api.latest import io

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.files.kind import tuner_kind, weight_file
from ...scedit_core.spec import Kind
from .folders import SOURCES, missing_tuner, own_folder, tuner_fingerprint, tuner_names, tuner_path

NONE_YET = "none yet: put tuners into models/scedit and press R"

# whole sentences, as help pages quote them
_OTHERS: dict[Kind, str] = {
    "sc": "is an SC-Tuner (style); load it with 'Load SC-Tuner (SCEdit)'",
    "csc": "is a CSC-Tuner (control); load it with 'Load CSC-Tuner (SCEdit)'",
}


class _Seen(NamedTuple):
    """What was read off a tuner: where its weights lie, their time and size then, and their kind."""

    file: Path
    stamp: tuple[int, int]
    kind: Kind | None


# by path; a list of a thousand files opens only those that are new or changed
_seen: dict[Path, _Seen] = {}


def tuner_name(names: list[str] | None = None) -> io.Combo.Input:
    """The choice of a tuner among these, or all that were found."""
    return io.Combo.Input(
        "tuner_name",
        options=(tuner_names() if names is None else names) or [NONE_YET],
        tooltip="A tuner file or published folder in models/scedit (or a path given for 'scedit' in "
        "extra_model_paths.yaml). Kind and sizes are read from the file.",
    )


class ReadsTuner(io.ComfyNode):
    """A node with the one widget `tuner_name`, which runs again when that file changes."""

    @classmethod
    def validate_inputs(cls, tuner_name: str | None = None) -> bool | str:
        """Refuse a missing file before anything runs; accepts either slash in saved graphs."""
        return missing_tuner(tuner_name)

    @classmethod
    def fingerprint_inputs(cls, tuner_name: str) -> Any:
        """Read again when the file changed."""
        return tuner_fingerprint(tuner_name)


def names_of_kind(kind: Kind) -> list[str]:
    """Names of the tuners of this kind, and after them those whose files do not tell theirs."""
    kinds = {name: _kind_of(name) for name in tuner_names()}
    own, unknown = ([name for name, found in kinds.items() if found == one] for one in (kind, None))
    return [*own, *unknown]


def wrong_tuner(name: str | None, kind: Kind) -> bool | str:
    """True if the name leads to a tuner of this kind (or comes from a link), else what to do about it."""
    try:
        if name is not None:
            check_kind(name, _kind_at(_path(name)), kind)
    except SCEditError as error:
        return str(error)
    return True


def check_kind(name: str, found: Kind | None, wanted: Kind) -> None:
    """Raise SCEditError, naming the right loader, if a tuner is known to be of the other kind."""
    if found not in (None, wanted):
        raise SCEditError(f"'{shown(name)}' {_OTHERS[found]}")


def _path(name: str) -> Path:
    if name == NONE_YET:
        raise SCEditError(
            f"there is no tuner of this kind in {own_folder()} yet; put a file or folder there and press R, "
            f"{SOURCES}"
        )
    return tuner_path(name)


def _kind_of(name: str) -> Kind | None:
    try:
        return _kind_at(tuner_path(name))
    except SCEditError:  # it has just gone
        return None


def _kind_at(path: Path) -> Kind | None:
    seen = _seen.get(path)
    if seen is not None and _stamp(seen.file) == seen.stamp:
        return seen.kind
    file = weight_file(path)
    stamp = None if file is None else _stamp(file)
    if file is None or stamp is None:
        return None
    _seen[path] = _Seen(file, stamp, tuner_kind(file))
    return _seen[path].kind


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
