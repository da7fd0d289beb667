"""What of a data set stays, what goes, and which pictures are new: found without reading any picture."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....errors import SCEditError, shown
from ..folder import READY_HINT
from .drawing import PrepareSettings
from .packing import key_of
from .sources import LeftOut, Source, Sources

_OFTEN = 500  # pictures between two words on how many were found


@dataclass
class Plan:
    """`keep` `(N,)`: which examples of the set stay. `total` pictures are new; `take` tells which."""

    keep: np.ndarray
    total: int
    without_caption: LeftOut
    _new: np.ndarray
    _is_taken: np.ndarray

    def take(self, source: Source) -> bool:
        """Whether a picture is new; said once of each name."""
        key = np.uint64(key_of(source.name))
        place = int(np.searchsorted(self._new, key))
        if place == len(self._new) or self._new[place] != key or self._is_taken[place]:
            return False
        self._is_taken[place] = True
        return True


def make_plan(
    sources: Sources,
    settings: PrepareSettings,
    entries: np.ndarray,
    left_out: LeftOut,
    found: Callable[[int], None],
) -> Plan:
    """Compare the sources with what a set holds; `found` is called now and then with their number.

    Raises SCEditError if there are none, if captions or hints are missing.
    """
    keys, stamps = array("Q"), array("Q")
    without_caption, without_hint = LeftOut(), LeftOut()
    for source in sources.walk(left_out):
        if source.caption is None:
            without_caption.add(source.name)
        if source.hint is None and READY_HINT in settings.hints:
            without_hint.add(source.name)
        keys.append(key_of(source.name))
        stamps.append(settings.stamp(source))
        if len(keys) % _OFTEN == 0:
            found(len(keys))
    _check(len(keys), settings, without_caption, without_hint)
    return _compared(np.array(keys), np.array(stamps), entries, left_out, without_caption)


def _check(count: int, settings: PrepareSettings, without_caption: LeftOut, without_hint: LeftOut) -> None:
    if not count:
        raise SCEditError(
            "there are no pictures: none in the folder and those below it, or none that the tars or the list "
            "name; choose another source"
        )
    if without_caption.count and not settings.caption_when_missing.strip():
        raise SCEditError(
            f"{without_caption.count} of {count} pictures have no caption ({without_caption.told()}); write "
            "one for each, or fill in caption_when_missing"
        )
    if without_hint.count == count:
        raise SCEditError(
            f"none of {count} pictures has a ready hint ({without_hint.told()}); put one of the same name "
            f"for each into '{shown(settings.hint_folder)}', or choose another kind of hint"
        )


def _compared(
    keys: np.ndarray,
    stamps: np.ndarray,
    entries: np.ndarray,
    left_out: LeftOut,
    without_caption: LeftOut,
) -> Plan:
    """The plan for sources of these keys and stamps."""
    names, first = np.unique(keys, return_index=True)
    for _ in range(len(keys) - len(names)):
        left_out.add("a picture that is named twice")
    now = stamps[first]  # of each key, in the order of the keys
    place = np.searchsorted(names, entries["key"]).clip(max=len(names) - 1)
    keep = (names[place] == entries["key"]) & (now[place] == entries["stamp"])
    _, once = np.unique(entries["key"][keep], return_index=True)  # a set that a crash left may hold one twice
    kept = np.flatnonzero(keep)[once]
    keep = np.zeros(len(entries), bool)
    keep[kept] = True
    new = np.setdiff1d(names, entries["key"][kept], assume_unique=True)
    return Plan(keep, len(new), without_caption, new, np.zeros(len(new), bool))
