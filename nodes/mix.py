"""Mixes conditions by one line of weights (paper, Eq. 7); web/js/scedit_pad.js moves them on a pad."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from comfy_api.latest import io

from ..scedit_core import SCEditError
from ..scedit_core.curve import FACTORS, NUMBER, entries_of
from ..scedit_core.errors import shown
from . import widgets
from .patching.conditions import Condition
from .sockets import CONDITION
from .telling import told

_MOST_ROWS = 16
_MOST_CHARACTERS = 1_000
_EXAMPLE = "0.5, off 0.3, 0.2"
_ENTRY = re.compile(rf"\s*(off)?\s*({NUMBER})?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """The weight of what is connected to one socket; a row that is off keeps it for later."""

    weight: float = 1.0
    is_on: bool = True


class SCEditMixConditions(io.ComfyNode):
    """Mixes conditions by weights that are written, or moved on a pad: a slider, a triangle or a polygon."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        row = CONDITION.Input(
            "condition", tooltip="From 'Condition', or a bundle whose weights it multiplies."
        )
        template = io.Autogrow.TemplatePrefix(row, prefix="condition", min=0, max=_MOST_ROWS)
        return io.Schema(
            **widgets.about(cls, "Mix Conditions", ""),
            inputs=[
                io.Autogrow.Input("conditions", template=template, tooltip="The conditions to mix."),
                widgets.text(
                    "weights",
                    "",
                    "One weight for each socket, in their order: '0.5, 0.3, 0.2'. 'off' in front of one "
                    "switches its row off: '0.5, off 0.3, 0.2'. Rows without a weight have 1. The pad writes "
                    "it too.",
                ),
                widgets.strength("strength", "Strength of all rows together, times the weight of each."),
            ],
            outputs=[
                CONDITION.Output(
                    display_name="conditions", tooltip="For 'Apply Conditions' or 'Apply to Prompt'."
                )
            ],
        )

    @classmethod
    def execute(cls, conditions: io.Autogrow.Type, weights: str = "", strength: float = 1.0) -> io.NodeOutput:
        rows = read_weights(weights)
        mixed = _mixed(_by_number(conditions), rows, strength)
        bundle = tuple(condition for row in mixed.values() for condition in row)
        return io.NodeOutput(bundle, ui=told(_report(mixed, rows)))


def read_weights(text: str) -> list[Row]:
    """Rows out of `0.5, off 0.3, 0.2`; an entry without a number has weight 1, and an empty text no rows.

    Wide signs, as Chinese keyboards have them, are read too, and `;` or a new line do as a comma does. Raises
    SCEditError for anything else, for weights beyond -10 to 10 and for more entries than there are sockets.
    """
    if not text.strip():
        return []
    if len(text) > _MOST_CHARACTERS:
        raise SCEditError(
            f"weights has {len(text)} characters, at most {_MOST_CHARACTERS} are read; write it like "
            f"'{_EXAMPLE}'"
        )
    entries = entries_of(text)
    if len(entries) > _MOST_ROWS:
        raise SCEditError(
            f"weights has {len(entries)} entries, and there are {_MOST_ROWS} sockets at most; write one for "
            f"each"
        )
    return [_row(entry) for entry in entries]


def _row(entry: str) -> Row:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise SCEditError(
            f"weights is written like '{_EXAMPLE}', got '{shown(entry.strip(), 40)}' in it; write a number, "
            f"with 'off' in front to switch the row off"
        )
    off, number = match.groups()
    weight = float(number) if number else 1.0
    if not FACTORS[0] <= weight <= FACTORS[1]:
        raise SCEditError(
            f"weights go from {FACTORS[0]:g} to {FACTORS[1]:g}, got {shown(number, 40)}; write a smaller one"
        )
    return Row(weight, is_on=off is None)


def _by_number(conditions: Mapping[str, Sequence[Condition] | None]) -> dict[int, Sequence[Condition]]:
    """What is connected, by the number of its socket. Raises SCEditError if nothing is."""
    names = {f"condition{number}": number for number in range(_MOST_ROWS)}
    connected = {number: conditions.get(name) for name, number in names.items()}
    there = {number: row for number, row in connected.items() if row is not None}
    if not there:
        raise SCEditError("there is nothing to mix; connect a 'Condition' to condition0")
    return there


def _mixed(
    connected: Mapping[int, Sequence[Condition]], rows: Sequence[Row], strength: float
) -> dict[int, tuple[Condition, ...]]:
    """The conditions of each socket with the weights that they go out with, none of a row that is off."""
    mixed = {}
    for number, conditions in connected.items():
        row = rows[number] if number < len(rows) else Row()
        factor = strength * row.weight
        mixed[number] = tuple(
            replace(condition, weight=factor * condition.weight) for condition in conditions if row.is_on
        )
    return mixed


def _report(mixed: Mapping[int, Sequence[Condition]], rows: Sequence[Row]) -> str:
    """What goes out: the sum of all weights, and those of each socket."""
    total = sum(condition.weight for row in mixed.values() for condition in row)
    lines = [f"Σα = {total:.4g}"]
    for number, row in mixed.items():
        parts = [f"{condition.weight:.4g} {shown(condition.hosted.name)}" for condition in row]
        lines.append(f"condition{number}: {', '.join(parts) or 'off'}")
    loose = [f"condition{number}" for number in range(len(rows)) if number not in mixed]
    if loose:
        lines.append(f"note: weights has entries for {', '.join(loose)}, where nothing is connected")
    return "\n".join(lines)
