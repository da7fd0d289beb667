"""One process at a time changes a data set, also where several computers share its disk.

Who prepares a set keeps a file in its folder and changes it every other second. No clocks, hosts or process
numbers are compared: who finds the file looks whether it still changes. One that does not was left by a
process that is dead, or asleep; should the latter wake up, it finds another's file there and stops.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ....errors import SCEditError, shown
from ....files.durable import folders_for, not_written

LOCK = "preparing.lock"
BEAT, PATIENCE = 2.0, 15.0  # seconds between two changes of the file, and without one until it counts as left
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def alone_in(folder: Path, tick: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Be the only one that changes the data set in a folder, which is made if need be.

    Yields a function that raises SCEditError once another process has taken over. `tick` is called while a
    file that was found is watched. Raises SCEditError if another process is at work there.
    """
    lock = _Lock(folder / LOCK)
    try:
        lock.take(tick)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise not_written(lock.path, error) from error
        yield lambda: None  # what may not be written to is not changed either; a change says so itself
        return
    try:
        with lock.beating():
            yield lock.check
    finally:
        with contextlib.suppress(OSError):  # a set that was not begun leaves no folder
            folder.rmdir()


class _Lock:
    """The file, by whose first letters its owner knows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = secrets.token_hex(8)
        self._is_done, self._is_lost, self._looked = threading.Event(), False, 0.0

    def take(self, tick: Callable[[], None]) -> None:
        """Make the file, or take over one that does not change any more."""
        with folders_for(self.path):
            try:
                with self.path.open("x") as file:
                    file.write(self._content(0))
            except FileExistsError:
                self._watch(tick)
                self._write(0)
                time.sleep(BEAT / 2)  # of two that take over at once the later one has it
                self._look()
                self.check()

    def check(self) -> None:
        """SCEditError if the file is another's by now."""
        if time.monotonic() - self._looked > BEAT / 2:
            self._look()
        if self._is_lost:
            raise SCEditError(
                f"another process has taken over the data set '{shown(self.path.parent.name)}', because this "
                f"one did not move for {PATIENCE:.0f} seconds, or its {LOCK} was deleted; run this again, "
                "what was whole is kept"
            )

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Within, the file changes; afterwards it is gone."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_done.set()
            thread.join()
            self._look()
            if not self._is_lost:
                with contextlib.suppress(OSError):  # a reader on Windows: it is taken over the next time
                    self.path.unlink()

    def _beat(self) -> None:
        number = 0
        while not self._is_done.wait(BEAT):
            number += 1
            self._look()
            if self._is_lost:
                return
            with contextlib.suppress(OSError):  # a full disk, or a network that is away for a while
                self._write(number)

    def _watch(self, tick: Callable[[], None]) -> None:
        """Wait until the file does not change for a while. SCEditError if it does."""
        first, until = self._read(), time.monotonic() + PATIENCE
        while time.monotonic() < until:
            tick()
            time.sleep(min(0.2, PATIENCE / 10))
            now = self._read()
            if now is None:  # the other one has ended
                return
            if now != first:
                raise SCEditError(
                    f"another process prepares the data set '{shown(self.path.parent.name)}' at this moment; "
                    "wait until it has ended, or stop it, and run this again: it goes on from there"
                )

    def _look(self) -> None:
        self._looked = time.monotonic()
        now = self._read()
        self._is_lost = now is None or (now != "" and not now.startswith(self._mine))

    def _read(self) -> str | None:
        """What is in the file; None if it is gone, and of one that cannot be read nothing."""
        try:
            return self.path.read_text(encoding="ascii", errors="replace")[:100]
        except FileNotFoundError:
            return None
        except OSError:
            return ""

    def _write(self, number: int) -> None:
        self.path.write_text(self._content(number), encoding="ascii")

    def _content(self, number: int) -> str:
        return f"{self._mine} {number}\n"
