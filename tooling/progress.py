"""What the user sees while dev.py works, and how a step fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepError(Exception):
    """A step failed: what happened, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class Progress:
    """Numbers the steps and tells how long they took."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.title = "start"

    def begin(self, title: str) -> None:
        self.number += 1
        self.title = title
        say(f"[{self.number}/{self.total}] {title}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.begin(title)
        start = time.monotonic()
        yield
        say(f"      done, {time.monotonic() - start:.0f} s")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
