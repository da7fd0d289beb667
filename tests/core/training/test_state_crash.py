"""A process that is killed while it saves leaves a whole state: the one before, or the new one."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import state_saver
from support import REPOSITORY

from scedit_core.training import load_state

ROUNDS = int(os.environ.get("SCEDIT_CRASH_ROUNDS", "6"))
SAVER = """
import sys; sys.path[:0] = [{tests!r}, {here!r}]
import pathlib, support; support.load_package("scedit_core", pathlib.Path({core!r}))
import state_saver; state_saver.main(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the saver starts its processes by fork")
def test_a_process_killed_while_it_saves_leaves_a_whole_state(tmp_path):
    path, chance = tmp_path / "state.safetensors", random.Random(0)
    run, done, torn = state_saver.numbered(0), 0, 0
    here = Path(__file__).parent
    code = SAVER.format(tests=str(REPOSITORY / "tests"), here=str(here), core=str(REPOSITORY / "scedit_core"))
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as saver:
        for _ in range(ROUNDS):
            saved = killed(saver, done + 1, chance.uniform(0, 0.3))
            load_state(run, path)
            assert run.step in (saved, saved + 1)  # it may be in its place and not yet told
            assert run.losses == [float(run.step)] * run.step
            assert all(bool((tensor == run.step).all()) for tensor in (*run.parameters, *run.averages))
            torn += len(leftovers(path))
            done = run.step
        saver.stdin.close()
    logging.info("%s kills among %s saves, %s of them in the middle of a file", ROUNDS, done, torn)
    assert torn or ROUNDS < 100  # so many kills that miss every file prove nothing


def killed(saver: subprocess.Popen, first: int, after: float) -> int:
    """Have it save from this number on, kill it some seconds after the first; the last number it told."""
    saver.stdin.write(f"{first}\n")
    saver.stdin.flush()
    told = [saver.stdout.readline(), saver.stdout.readline()]
    (child,) = (int(line.split()[1]) for line in told if line.startswith("process"))
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    told += iter(saver.stdout.readline, "gone\n")
    return max(int(line) for line in told if not line.startswith("process"))


def leftovers(path: Path) -> list[Path]:
    """What killed saves left beside the state; removed."""
    found = [file for file in path.parent.iterdir() if file != path]
    for file in found:
        file.unlink()
    return found
