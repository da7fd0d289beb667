"""The folder of a job's results: what the run writes there, and what others may read while it does.

job.toml                     the job as it is run
state.safetensors            from which it goes on
metrics.jsonl                a line for each step
status.json                  whether it runs, and how it ended
loss.png, samples/*.jpg      pictures of how far it is
NAME-step000250.safetensors  tuners on the way; NAME.safetensors at the end
stop                         an empty file that anybody may make, to end it after its step
"""

from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from ...errors import SCEditError, shown
from ...files.durable import write_whole
from ..plot import plot_losses
from ..spans import minutes

State = Literal["running", "done", "stopped", "failed"]
_STATES = get_args(State)
_MOST_READ = 2**26  # bytes of metrics that are looked at, from the end: some 800,000 steps
_MOST_STATUS = 2**16
_LONG, _MANY = 300.0, 20  # seconds, or steps, after which a silence is told


@dataclass(frozen=True)
class Metric:
    """One step: its number, its loss, the seconds it took and the learning rate."""

    step: int
    loss: float
    seconds: float
    learning_rate: float


@dataclass(frozen=True)
class Status:
    """How a job is: `said` is the sentence it last had to say, `steps` how many there are to be."""

    state: State
    said: str
    step: int
    steps: int
    processes: int = 1


@dataclass(frozen=True)
class Results:
    """Names and contents of the files of one job."""

    folder: Path

    @property
    def job(self) -> Path:
        """The job as it is run."""
        return self.folder / "job.toml"

    @property
    def state(self) -> Path:
        """From which a run goes on."""
        return self.folder / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """A line of JSON for each step."""
        return self.folder / "metrics.jsonl"

    @property
    def stop(self) -> Path:
        """The file that ends a run after its step."""
        return self.folder / "stop"

    def tuner(self, name: str, number: int | None, step: int | None = None) -> Path:
        """Where a tuner goes: `number` where there are several, `step` on the way."""
        place = "" if number is None else f"-{number}"
        way = "" if step is None else f"-step{step:06d}"
        return self.folder / f"{name}{place}{way}.safetensors"

    def newest_tuners(self, name: str) -> list[Path]:
        """The tuners of the end, else those that were saved last; none before the first save."""
        pattern = re.compile(rf"{re.escape(name)}(?:-\d)?(?:-step(\d{{6,}}))?\.safetensors")
        saved: dict[float, list[Path]] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if match := pattern.fullmatch(path.name):
                saved.setdefault(math.inf if match[1] is None else int(match[1]), []).append(path)
        return saved[max(saved)] if saved else []

    def begin(self, step: int) -> None:
        """Keep the metrics up to the step that the state has: a run that was killed may have told more."""
        kept = [_line(one) for one in self.read_metrics() if one.step <= step]
        write_whole(self.metrics, "".join(kept).encode())

    def tell(self, metric: Metric) -> None:
        """Add a step to the metrics. Raises SCEditError if it cannot be written."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(_line(metric))
        except OSError as error:
            raise SCEditError(
                f"'{self.metrics.name}' could not be written to {shown(self.folder, 400)} "
                f"({error.strerror or error}); make room or close the program that has it open"
            ) from error

    def put(self, status: Status) -> None:
        """Say how the job is."""
        write_whole(self.folder / "status.json", json.dumps(asdict(status), indent=1).encode())

    def put_plot(self, losses: Sequence[float]) -> None:
        """The loss over the steps, as a picture."""
        self._put_picture("loss.png", plot_losses(losses), "PNG")

    def put_sheet(self, step: int, pixels: np.ndarray) -> None:
        """A sheet of samples `(H, W, 3)`, uint8."""
        self._put_picture(f"samples/step{step:06d}.jpg", pixels, "JPEG")

    def read_metrics(self) -> list[Metric]:
        """What was told so far, without lines that are cut off or damaged, each step once."""
        told = {one.step: one for one in map(_metric, _lines(self.metrics)) if one is not None}
        return [told[step] for step in sorted(told)]

    def read_status(self) -> Status | None:
        """How the job said it is; None before it began, and for what is no status."""
        try:
            with (self.folder / "status.json").open("rb") as file:
                return _status(json.loads(file.read(_MOST_STATUS)))
        except (OSError, ValueError, RecursionError):
            return None

    def silence(self) -> float | None:
        """Seconds since something was written; None if nothing was."""
        times = [_changed(path) for path in (self.metrics, self.folder / "status.json")]
        known = [changed for changed in times if changed is not None]
        return max(0.0, time.time() - max(known)) if known else None

    def ask_to_stop(self) -> None:
        """Have the job end after its step."""
        write_whole(self.stop, b"")

    def sheets(self) -> list[Path]:
        """Sheets of samples, the oldest first."""
        return sorted((self.folder / "samples").glob("step*.jpg"))

    def _put_picture(self, name: str, pixels: np.ndarray, kind: str) -> None:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, quality=92)
        write_whole(self.folder / name, buffer.getvalue())


def in_words(status: Status | None, told: Sequence[Metric], silence: float | None) -> str:
    """How a job is, for people: from its status, its steps and the seconds since it last wrote."""
    if status is None:
        return "not begun: run it by the command that 'Export Training Job' showed"
    if status.state != "running":
        return f"{status.state}: {status.said}"
    if not told:
        return f"running, no step of {status.steps} yet"
    recent = told[-50:]
    loss, pace = (sum(getattr(one, name) for one in recent) / len(recent) for name in ("loss", "seconds"))
    step = told[-1].step
    words = (
        f"running, step {step} of {status.steps}, loss {loss:.4f}, {pace:.2f} s per step, "
        f"{minutes(pace * max(0, status.steps - step))} left"
    )
    if silence is not None and silence > max(_LONG, _MANY * pace):
        words += (
            f"; nothing was written for {minutes(silence)}: it is at a long save, or was killed; run it "
            "again to go on"
        )
    return words


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _line(metric: Metric) -> str:
    return f"{json.dumps(asdict(metric))}\n"


def _lines(file: Path) -> Iterator[Any]:
    """What the lines of a file say; those that are no JSON say nothing."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _MOST_READ))
            content = opened.read()
    except OSError:
        return
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def _metric(entry: Any) -> Metric | None:
    if not isinstance(entry, dict) or not _is_count(entry.get("step")):
        return None
    numbers: dict[str, Any] = {name: entry.get(name) for name in ("loss", "seconds", "learning_rate")}
    return Metric(entry["step"], **numbers) if all(map(_is_number, numbers.values())) else None


def _status(entry: Any) -> Status | None:
    if not isinstance(entry, dict) or entry.keys() != {*Status.__dataclass_fields__}:
        return None
    counts = [entry[name] for name in ("step", "steps", "processes")]
    is_one = entry["state"] in _STATES and isinstance(entry["said"], str) and all(map(_is_count, counts))
    return Status(**entry) if is_one else None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300 and math.isfinite(value)
