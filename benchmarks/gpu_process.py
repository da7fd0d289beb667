"""The GPU check's side of its processes: asks for sections, takes rows, survives what they do not."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu_child import START
from gpu_rows import Row
from gpu_sections import Section

_STARTS = 3  # of a process that keeps dying
_START_SECONDS = 120.0
_CHILD = Path(__file__).with_name("gpu_child.py")


class Process:
    """A child with one ComfyUI; begun at once, and begun again if a section brings it down."""

    def __init__(self, patcher: str, device: str, take: Callable[[Row], None], facts: dict[str, Any]) -> None:
        self.patcher = patcher
        self._device = device
        self._take = take
        self._facts = facts
        self._starts = 0
        self._child: subprocess.Popen[str] | None = None
        self._is_ready: bool | None = None  # None until its ComfyUI has started or failed to
        self._begin()

    def run(self, section: Section, left: float) -> None:
        """Have a section run within the seconds that are left; whatever happens ends in a row."""
        is_card = self._device == "cuda"  # a CPU may take as long as it likes
        least, most = (section.least, section.most) if is_card else (1.0, left)
        if left < least:
            self._tell(section.name, "not run", f"{max(0.0, left):.0f} s left, it takes {least:.0f} or more")
            return
        if self._child is None and self._starts < _STARTS:
            self._begin()
        if self._child is not None and self._is_ready is None:
            self._wait(START, min(left, _START_SECONDS) if is_card else left)
        if not self._is_ready or self._child is None:
            self._tell(section.name, "not run", "there is no ComfyUI to run it in")
            return
        began = time.monotonic()
        with suppress(OSError):  # if it has died, its output ends too, and that is what is told
            self._child.stdin.write(section.name + "\n")
            self._child.stdin.flush()
        self._wait(section.name, min(left, most), hangs=most < left)
        spent = self._facts.setdefault("spent", {})
        spent[f"{self.patcher} {section.name}"] = round(time.monotonic() - began, 1)

    def end(self) -> None:
        """End the child; it holds nothing that has to be put away."""
        if self._child is not None:
            self._child.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver that hangs may keep it
                self._child.wait(10)
            self._errors.close()
        self._child, self._is_ready = None, None

    def _begin(self) -> None:
        self._starts += 1
        command = [sys.executable, str(_CHILD), "--patcher", self.patcher, "--device", self._device]
        # ComfyUI's folder stays as it is; empty means that bytecode may be written, elsewhere
        without = "" if os.environ.get("PYTHONPYCACHEPREFIX") else "1"
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": without}
        if self._device == "cpu":
            command.append("--tiny")
            environment["OMP_NUM_THREADS"] = "1"  # tiny models, and two processes at once
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            encoding="utf-8", env=environment,
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(self._child, self._lines), daemon=True).start()

    def _wait(self, name: str, seconds: float, *, hangs: bool = True) -> None:
        """Take rows until a section is done, the child has died, or the time is over."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self._tell(name, "FAILED" if hangs else "not run", f"not done after {seconds:.0f} s")
                self.end()
                return
            if line is None:
                self._tell(name, "FAILED", f"the process ended: {self._last_words()}")
                self.end()
                return
            if self._understood(json.loads(line)) == name:
                return

    def _understood(self, message: dict[str, Any]) -> str | None:
        """Act on a message; the section that is done, if it says so."""
        if "row" in message:
            self._take(Row(**message["row"]))
        self._facts.update(message.get("facts", {}))
        if message.get("done") == START:
            self._is_ready = message["alive"]
        return message.get("done")

    def _last_words(self) -> str:
        status = self._child.wait(10) if self._child else 0
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return f"status {status}, {lines[-1][:200] if lines else 'without a word'}"

    def _tell(self, section: str, state: Any, said: str) -> None:
        self._take(Row(self.patcher, section, "the section", state, said))


def _read(child: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    for line in child.stdout or ():
        lines.put(line)
    lines.put(None)
