"""Tuner files changed at random, by the thousand: each has to load or to be refused in one sentence.

    python dev.py bench fuzz_files [--cases 20000] [--seed 0]

The files are read by child processes, of 2,500 each. Prints how many files loaded and how many were refused,
by the words of the refusal, the longest time that one took, and the most memory that one took beyond its own
size. Any other end stops the run with the file that led to it: a child that dies, a file that takes longer
than 20 s or more than 1 GB.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "core" / "files")]

from support import REPOSITORY, load_package

load_package("scedit_core", REPOSITORY / "scedit_core")

from fuzz_tools import files
from hypothesis import HealthCheck, given, seed, settings
from make_corpus import make_corpus
from make_sizes import write_sizes
from outcomes import outcome
from process_memory import forget_peak, resident

CASES_OF_A_CHILD = 2_500
LONGEST = 20  # seconds
MOST_MEMORY = 10**9


class Reader:
    """Reads one file after the other and keeps count of the ends, the longest time and the most memory."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.seconds = 0.0
        self.memory = 0

    def read(self, path: Path) -> None:
        """Read a file; a file that takes too long ends the process."""
        forget_peak()
        before, start = resident("VmRSS"), time.monotonic()
        signal.alarm(LONGEST)
        end = outcome(path)
        signal.alarm(0)
        size = path.stat().st_size if path.is_file() else 0
        memory = resident("VmHWM") - before - size
        assert memory < MOST_MEMORY, f"{path} took {memory / 1e9:.1f} GB"
        self.seconds = max(self.seconds, time.monotonic() - start)
        self.memory = max(self.memory, memory)
        self.ends[words(end)] += 1

    def report(self) -> str:
        """What was counted, as one line."""
        return json.dumps([self.ends, self.seconds, self.memory])


def words(sentence: str) -> str:
    """The part of a refusal that is the same for all files that are refused for the same reason."""
    plain = re.sub(r"'[^']*'|\([^)]*\)|\S*[._]\S*|\d+", "", sentence.split(";")[0])
    return " ".join(plain.split()[:7]) or "loads"


def fuzz(cases: int, number: int, folder: Path) -> Reader:
    """Read so many changed files; what became of them."""
    reader = Reader()

    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed=files())
    def read(changed: tuple[str, bytes]) -> None:
        suffix, content = changed
        file = folder / f"changed.{suffix}"
        file.write_bytes(content)
        reader.read(file)

    read()
    return reader


def in_child(folder: Path, cases: int, number: int) -> tuple[Counter[str], float, int]:
    """Read changed files, or the corpus if there are no cases, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(folder), "--cases", str(cases), "--seed", str(number)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"a child ended with {run.returncode}; the last file lies in {folder}")
    ends, seconds, memory = json.loads(run.stdout.splitlines()[-1])
    return Counter(ends), seconds, memory


def child(folder: Path, cases: int, number: int) -> None:
    """What a child process does."""
    if cases:
        reader = fuzz(cases, number, folder)
    else:
        reader = Reader()
        (folder / "sizes").mkdir()
        for _, path in (*make_corpus(folder / "corpus"), *write_sizes(folder / "sizes")):
            reader.read(path)
    print(reader.report())


def show(what: str, found: list[tuple[Counter[str], float, int]], seconds: float) -> Counter[str]:
    """Print a line on what children found; their ends, counted together."""
    ends = sum((one[0] for one in found), Counter[str]())
    slowest, largest = max(one[1] for one in found), max(one[2] for one in found)
    print(
        f"{what}: {ends.total()} files, {ends['loads']} load, {ends.total() - ends['loads']} are refused, "
        f"0 unexpected outcomes, {seconds:.0f} s; at most {slowest:.1f} s and {largest / 1e6:.0f} MB for one"
    )
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.cases, arguments.seed)
        return
    folder = Path(tempfile.mkdtemp())
    start = time.monotonic()
    show("corpus", [in_child(folder, 0, 0)], time.monotonic() - start)
    start, found = time.monotonic(), []
    for first in range(0, arguments.cases, CASES_OF_A_CHILD):
        cases = min(CASES_OF_A_CHILD, arguments.cases - first)
        found.append(in_child(folder, cases, arguments.seed + first))
    ends = show("fuzz", found, time.monotonic() - start)
    for reason, count in ends.most_common(30):
        print(f"{count:7} {reason}")


if __name__ == "__main__":
    main()
