"""Presets of weights by skip: those that come with the pack, and those of models/scedit/presets.txt."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...scedit_core import SCEditError
from ...scedit_core.skip_weights import PRESETS, Presets, SkipWeights, read_presets, read_skip_weights
from .folders import FOLDER_KEY

NAME = "presets.txt"
_MOST_BYTES = 100_000


def read_weights(text: str) -> SkipWeights | None:
    """What the text of a `skip_weights` input says. Raises SCEditError for a misspelt one."""
    return read_skip_weights(text, known_presets)


def known_presets() -> Presets:
    """All presets by name; one of the user's own takes the place of ours. SCEditError for a damaged file."""
    presets = dict(PRESETS)
    for folder in folder_paths.get_folder_paths(FOLDER_KEY):
        presets |= _read(Path(folder, NAME))
    return presets


def names() -> list[str]:
    """All presets to choose from; ours alone if the file is damaged, which a run with a name tells."""
    try:
        return list(known_presets())
    except SCEditError:
        return list(PRESETS)


def _read(file: Path) -> Presets:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SCEditError(f"{NAME} cannot be read: {error.strerror}; look at {file}") from error
    if len(content) > _MOST_BYTES:
        raise SCEditError(
            f"{NAME} is larger than {_MOST_BYTES:,} bytes; keep a line for each preset in {file}"
        )
    try:
        return read_presets(content.decode("utf-8-sig"), NAME)
    except UnicodeDecodeError as error:
        raise SCEditError(f"{NAME} is no text in UTF-8; save {file} as UTF-8") from error
