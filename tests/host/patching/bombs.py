"""What ends a run at any step, or inside of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import comfy.model_management

OUTPUT_KIND = "output_block_patch"
CANCELS = (
    "callback", "callback", "hint encoder", "before ours", OUTPUT_KIND, "input_block_patch", "attn1_patch",
)  # fmt: skip


class Cancelled(Exception):
    """Ends a run inside of a step."""


class Bomb:
    """Ends a run when it is called for the `count`-th time, counted from 0."""

    def __init__(self, count: int) -> None:
        self._left = count

    def put(self, model: Any, place: str, tuners: Iterable[Any]) -> list[Any]:
        """Have it called in a run of the MODEL; what to remove afterwards is returned."""
        if place == "hint encoder":
            nets = [hosted.patcher.model for hosted in tuners if hosted.patcher.model.kind == "csc"]
            return [net.hint_encoder.register_forward_pre_hook(self.in_module) for net in nets]
        if place == "before ours":
            patches = model.model_options["transformer_options"].setdefault("patches", {})
            patches[OUTPUT_KIND] = [self.as_patch, *patches.get(OUTPUT_KIND, [])]
        elif place != "callback":
            model.set_model_patch(self.as_patch, place)
        return []

    def callback(self, *_: Any) -> None:
        """As the host does where a user cancels: between two steps."""
        if self._goes_off():
            raise comfy.model_management.InterruptProcessingException

    def in_module(self, _module: Any, _inputs: Any) -> None:
        """As where memory ends."""
        if self._goes_off():
            raise Cancelled

    def as_patch(self, *given: Any) -> Any:
        """A patch of any kind, which hands back what it is given."""
        if self._goes_off():
            raise Cancelled
        return given[0] if len(given) == 2 else given[:-1]

    def _goes_off(self) -> bool:
        self._left -= 1
        return self._left < 0
