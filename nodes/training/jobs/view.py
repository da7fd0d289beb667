"""What a job tells on its way: its results' folder all, and the terminal a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from ....scedit_core import SCEditError
from ....scedit_core.training import Trainer
from ....scedit_core.training.job import Job
from ....scedit_core.training.job.results import Metric, Results, State, Status
from ..course import Pace
from .samples import Sheets

_BETWEEN_LINES, _BETWEEN_PLOTS = 10.0, 60.0  # seconds

Say = Callable[[str], None]


class JobView:
    """Writes steps, plots and sheets. What cannot be written is told once, and does not end the run."""

    def __init__(self, trainer: Trainer, results: Results, job: Job, sheets: Sheets | None, say: Say) -> None:
        self._trainer = trainer
        self._results = results
        self._every = job.run.sample_every
        self._sheets = sheets
        self._say = say
        self._pace = Pace(trainer)
        self._plotted = self._told = self._stepped = 0.0
        self._noted: set[str] = set()

    def note(self, line: str) -> None:
        """Say a line, once."""
        if line not in self._noted:
            self._noted.add(line)
            self._say(line)

    def begin(self) -> None:
        """Count this run's steps and time from here."""
        self._results.begin(self._trainer.step)
        self._results.put(self._status("running", "trains"))
        self._pace.begin()
        self._plotted = self._told = self._stepped = time.monotonic()

    def step(self) -> None:
        """Write the step down, and whatever it is time for."""
        trainer, now = self._trainer, time.monotonic()
        rate = trainer.config.learning_rate
        metric = Metric(trainer.step, trainer.losses[-1], now - self._stepped, rate)
        self._write(lambda: self._results.tell(metric))
        if now - self._told > _BETWEEN_LINES or trainer.step == trainer.config.steps:
            self._told = now
            self._say(self._pace.progress())
        if now - self._plotted > _BETWEEN_PLOTS:
            self._plot()
        if self._sheets is not None and trainer.step % self._every == 0:
            sheet = self._sheets.draw(trainer)
            self._write(lambda: self._results.put_sheet(trainer.step, sheet))
        self._stepped = time.monotonic()  # a step's time is without what was drawn

    def end(self) -> None:
        """Say how it ended."""
        is_done = self._trainer.step >= self._trainer.config.steps
        self._plot()
        said = self._pace.last()
        self._write(lambda: self._results.put(self._status("done" if is_done else "stopped", said)))
        self._say(said)

    def _plot(self) -> None:
        self._plotted = time.monotonic()
        self._write(lambda: self._results.put_plot(self._trainer.losses))

    def _status(self, state: State, said: str) -> Status:
        trainer = self._trainer
        return Status(state, said, trainer.step, trainer.config.steps, trainer.ranks.size)

    def _write(self, what: Callable[[], None]) -> None:
        try:
            what()
        except SCEditError as error:
            self.note(str(error))


class NoView:
    """Of all processes but the first: it tells nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def begin(self) -> None:
        """Nothing."""

    def step(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
