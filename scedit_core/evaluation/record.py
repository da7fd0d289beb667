"""What an evaluation found, as JSON, as metadata of a tuner's file, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .displacement import Shift
from .kinds import CLIP_SCORE, KINDS, Kind

PREFIX = "scedit.eval."
_DIGITS = 6
ON, OFF, SHUFFLED = "on", "off", "shuffled"
INVERTED, MOVED, PICTURES = "inverted", "moved", "pictures"
# what stands behind a figure, by the way it was found
_WAYS = {OFF: "without", SHUFFLED: "with {others}"}


@dataclass(frozen=True)
class Spread:
    """A figure over all pictures and seeds: its mean, and its standard deviation over each of the two.

    Those are of the seeds' means and of the pictures' means; 0 where there is one alone.
    """

    mean: float
    seeds: float = 0.0
    pictures: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """From values `(seeds, pictures)`."""
        return cls(*(round(float(one), _DIGITS) for one in (values.mean(), *_deviations(values))))


def _deviations(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean(1).std()), float(values.mean(0).std())


@dataclass(frozen=True)
class Record:
    """What was measured, and of what.

    `figures` are by the measure's key and then the way: ON, OFF, SHUFFLED (with the hints of other pictures),
    INVERTED (with black and white exchanged), MOVED (ON, read at `shift`), PICTURES (of the held-out pictures
    themselves). `losses` are denoising losses by part of the denoising and then way; `change` is how far the
    tuner moves pictures, in levels of 255. `shift` is where results have what the hint shows, in pixels to
    the right and down, and `hint_shift` where hints have what their own pictures show; both only if that is
    another place. `left_out` says what could not be measured, and why.
    """

    kind: str
    pictures: int
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Spread]]
    losses: Mapping[str, Mapping[str, float]]
    change: float
    shift: Shift | None = None
    hint_shift: Shift | None = None
    made_for: str = ""
    model: str = ""
    left_out: tuple[str, ...] = field(default=())

    @property
    def row(self) -> Kind:
        """What is measured of this kind."""
        return KINDS[self.kind]

    def loss(self, way: str) -> float:
        """Mean denoising loss over all levels; NaN if that way was not tried."""
        values = [ways[way] for ways in self.losses.values() if way in ways]
        return sum(values) / len(values) if values else math.nan

    def to_json(self, verdict: str) -> str:
        """The record and its verdict as JSON, keys in order: the same figures give the same text."""
        return json.dumps({"version": 1, "verdict": verdict, **asdict(self)}, indent=1)

    def to_metadata(self, verdict: str) -> dict[str, str]:
        """What a tuner's file says of it: a sentence, the figures for people, and all of it for programs."""
        figures = "; ".join(self.lines())
        compact = json.dumps({"version": 1, **asdict(self)}, separators=(",", ":"))
        values = {"verdict": verdict, "figures": figures, "record": compact}
        return {f"{PREFIX}{key}": value for key, value in values.items()}

    def lines(self) -> list[str]:
        """Each figure and its ways, for people."""
        said = [
            f"{measure.name} {_ways(self.figures[measure.key], measure.digits, self.row.others)}"
            for measure in (*self.row.measures, CLIP_SCORE)
            if measure.key in self.figures
        ]
        if self.losses:
            ways = {way: Spread(self.loss(way)) for way in (ON, OFF, SHUFFLED)}
            said.append(f"denoising loss {_ways(ways, 4, self.row.others)}")
        return said


def _ways(ways: Mapping[str, Spread], digits: int, others: str) -> str:
    """A figure with the tuner, without and with hints of others, as a sentence has them."""
    on = ways[ON]
    spread = f" ± {on.seeds:.{digits}f}" if on.seeds else ""
    parts = [f"{on.mean:.{digits}f}{spread}"]
    for way, words in _WAYS.items():
        if way in ways and not math.isnan(ways[way].mean):
            parts.append(f"{ways[way].mean:.{digits}f} {words.format(others=others)}")
    return ", ".join(parts)


def without_record(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata less what an earlier evaluation left there."""
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}


def record_of(metadata: Mapping[str, str]) -> Record | None:
    """The record in a file's metadata; None if there is none, or what stands there is none."""
    try:
        found = json.loads(metadata[f"{PREFIX}record"])
        if found.pop("version") != 1 or found["kind"] not in KINDS:
            return None
        figures = {
            str(key): {str(way): Spread(**one) for way, one in ways.items()}
            for key, ways in found.pop("figures").items()
        }
        return Record(figures=figures, **_tuples(found))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where a record has tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
