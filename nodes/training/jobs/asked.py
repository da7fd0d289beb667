"""Whether somebody wants a job to end: by a signal, or by a file in its folder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_AGAIN = 1.0  # seconds after which a signal is another one: launchers pass on what the terminal sent too
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """What ends a job after its step: a signal, or the file `stop`. A second Ctrl+C ends it at once."""

    def __init__(self, stop: Path) -> None:
        self._stop = stop
        self.signal: int | None = None
        self._since = 0.0

    def to_stop(self) -> bool:
        """Whether it is to end."""
        return self.signal is not None or os.path.lexists(self._stop)

    def forget(self) -> None:
        """Take the file away, so that the next run goes on."""
        self._stop.unlink(missing_ok=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, a signal waits for the end of a step."""
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _AGAIN:
            raise KeyboardInterrupt
