"""Edits that are switched off at some blocks, to see what they do there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...scedit_core import SkipEdit

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from .conditions import Applied


class Muted:
    """An applied edit without its effect at these blocks; elsewhere it is the edit itself, bit for bit."""

    def __init__(self, applied: Applied | Muted, blocks: Iterable[int]) -> None:
        self._applied = applied
        self._off = dict.fromkeys(blocks, 0.0)
        self._known: dict[SkipEdit, SkipEdit] = {}

    @property
    def patcher(self) -> ModelPatcher:
        """The weights of its tuners."""
        return self._applied.patcher

    @property
    def hint(self) -> Tensor | None:
        """What its tuners see."""
        return self._applied.hint

    def at(self, sampling: Any = None) -> SkipEdit:
        """The edit at the noise levels of a run, the same object each time."""
        edit = self._applied.at(sampling)
        if edit not in self._known:
            factors = replace(edit.factors, blocks={**edit.factors.blocks, **self._off})
            self._known[edit] = replace(edit, factors=factors)
        return self._known[edit]

    def held_by(self, patcher: ModelPatcher) -> Muted:
        """The same with its tuners in the care of another patcher."""
        return Muted(self._applied.held_by(patcher), self._off)
