"""What the GPU check finds: its rows, its table and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "FAILED", "measured", "no memory", "not run"]

MEASURES = {
    "ms": "ms", "ratio": "of base", "gpu_ms": "GPU ms", "gpu_ratio": "of base", "kernels": "kernels",
    "peak_mb": "peak MB",
}  # fmt: skip  # a row's numbers that are columns too


@dataclass(frozen=True)
class Row:
    """One line of the table. `numbers` are milliseconds, megabytes (10^6 bytes) and the like, by name."""

    patcher: str
    section: str
    what: str
    state: State
    said: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """The row as a line of the table."""
        cells = "".join(f"{_number(self.numbers.get(name)):>9}" for name in MEASURES)
        return f"{self.patcher:8}{self.section:16}{self.what:34}{self.state:10}{cells}  {self.said}".rstrip()


HEADING = f"{'host':8}{'section':16}{'what':34}{'state':10}" + "".join(
    f"{name:>9}" for name in MEASURES.values()
)


class Failure(Exception):
    """A check found what it looks for; the message says what."""


class Report:
    """Takes down what a section finds, row by row, and goes on after what fails."""

    def __init__(self, patcher: str, section: str, tell: Callable[[Row], None]) -> None:
        self.patcher = patcher
        self.section = section
        self._tell = tell

    def row(
        self, what: str, state: State, said: str = "", numbers: Mapping[str, float] | None = None
    ) -> None:
        """Take down one row."""
        self._tell(Row(self.patcher, self.section, what, state, said, dict(numbers or {})))

    def check(self, what: str, run: Callable[[], str]) -> None:
        """Run a check: what it returns is said of it; what it raises makes it fail."""
        with self.guarded(what):
            self.row(what, "ok", run())

    def measure(self, what: str, run: Callable[[], tuple[Mapping[str, float], str]]) -> Mapping[str, float]:
        """Run a measurement of numbers and what is said of them; without numbers if it fails."""
        with self.guarded(what, full=True):
            numbers, said = run()
            self.row(what, "measured", said, numbers)
            return numbers
        return {}

    @contextmanager
    def guarded(self, what: str, *, full: bool = False) -> Iterator[None]:
        """Whatever fails inside becomes a row; a full device is no failure where `full` says so."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the rest has to run whatever this is
            is_full = full and "out of memory" in str(error).lower()
            self.row(what, "no memory" if is_full else "FAILED", first_line(error))


def first_line(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [""]
    name = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
    return f"{name}{lines[0]}"[:300]


def has_failed(rows: list[Row], required: set[str]) -> bool:
    """True if something failed, or one of the required sections was not run whole."""
    return any(row.state == "FAILED" or (row.state == "not run" and row.section in required) for row in rows)


def write_json(path: Path, facts: Mapping[str, Any], rows: list[Row]) -> None:
    """The whole table, with the facts of the machine."""
    text = json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
