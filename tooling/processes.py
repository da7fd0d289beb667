"""Runs other programs: in the foreground, side by side, or with their output in a log."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .places import BYTECODE, LOGS, REPO
from .progress import StepError, say
from .remedies import remedy

HEARTBEAT = 30.0  # seconds between signs of life
TAIL = 15  # lines of a log shown after a failure
AT_ONCE = 3  # commands side by side: one more than two cores, since tests of servers and browsers wait a lot
NO_TESTS = 5  # exit status of a pytest that found none


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would let other Python installations leak in."""
    left_out = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    # Waiting threads that spin make tests on a busy machine several times slower.
    inherited.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What is imported is compiled once, and ComfyUI's folder stays as it is.
    inherited["PYTHONPYCACHEPREFIX"] = str(BYTECODE)
    return {**inherited, "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", **extra}


def run_logged(command: Sequence[str | Path], log_name: str, env: dict[str, str] | None = None) -> None:
    """Run a command with its output in a log file; StepError with the last lines if it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log_file = LOGS / f"{log_name}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=REPO,
            env=env or clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        status = wait_with_heartbeat(process, log_file)
    if status != 0:
        text = log_file.read_text(encoding="utf-8", errors="replace")
        shown = "\n".join(f"      | {line}" for line in text.splitlines()[-TAIL:])
        raise StepError(
            f"{Path(command[0]).name} ended with status {status}:\n{shown}", remedy(text, log_file)
        )


def wait_with_heartbeat(process: subprocess.Popen[bytes], log_file: Path) -> int:
    start = time.monotonic()
    try:
        while True:
            try:
                return process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                say(f"      ... {time.monotonic() - start:.0f} s (details: {log_file.relative_to(REPO)})")
    finally:
        end(process)


def run_in_foreground(command: Sequence[str | Path], env: dict[str, str] | None = None) -> int:
    """Run a command that talks to the user itself; its exit status."""
    process = subprocess.Popen([str(part) for part in command], cwd=REPO, env=env or clean_environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait(60)  # Ctrl+C has reached it too; it tidies up
    finally:
        end(process)


def run_side_by_side(commands: Sequence[Sequence[str | Path]], log_name: str, env: dict[str, str]) -> int:
    """Run commands in their order, some at a time; worst status.

    The first talks to the user itself, the output of the others comes when they have ended. A pytest that
    finds no test is no failure if another found some.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    logs = [None, *(LOGS / f"{log_name}-{number}.log" for number in range(1, len(commands)))]
    waiting = list(zip(commands, logs, strict=True))
    running: list[tuple[subprocess.Popen[bytes], Path | None]] = []
    statuses = []
    try:
        while running or waiting:
            while waiting and len(running) < AT_ONCE:
                command, log_file = waiting.pop(0)
                running.append((start(command, env, log_file), log_file))
            time.sleep(0.2)
            for process, log_file in [one for one in running if one[0].poll() is not None]:
                running.remove((process, log_file))
                statuses.append(process.returncode)
                if log_file:
                    say(log_file.read_text(encoding="utf-8", errors="replace"))
    except KeyboardInterrupt:
        statuses += [process.wait(60) for process, _ in running]  # it has reached them too; they tidy up
    finally:
        for process, _ in running:
            end(process)
    found = [status for status in statuses if status != NO_TESTS]
    return max(found, key=abs) if found else NO_TESTS


def start(
    command: Sequence[str | Path], env: dict[str, str], log_file: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command, with its output in a log or where ours goes."""
    arguments = [str(part) for part in command]
    if log_file is None:
        return subprocess.Popen(arguments, cwd=REPO, env=env)
    with log_file.open("wb") as log:
        return subprocess.Popen(arguments, cwd=REPO, env=env, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def works(command: Sequence[str | Path]) -> bool:
    return (
        subprocess.run([str(part) for part in command], env=clean_environment(), check=False).returncode == 0
    )
