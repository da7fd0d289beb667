"""Tuner files changed at random, by the thousand: each has to load or to be refused in one sentence.

    python dev.py bench fuzz_files [--cases 10000] [--seed 0]

Prints how many files loaded and how many were refused, by the words of the refusal, the time and the growth
of memory. Any other end stops the run with the file that led to it.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "core")]

from support import REPOSITORY, load_package

load_package("scedit_core", REPOSITORY / "scedit_core")

from fuzz_tools import files
from hypothesis import HealthCheck, given, seed, settings
from make_corpus import make_corpus
from outcomes import outcome


def words(sentence: str) -> str:
    """The part of a refusal that is the same for all files that are refused for the same reason."""
    plain = re.sub(r"'[^']*'|\\([^)]*\\)|\\S*[._]\\S*|\\d+", "", sentence.split(";")[0])
    return " ".join(plain.split()[:6]) or "loads"


def fuzz(cases: int, number: int, folder: Path) -> Counter[str]:
    """Read so many changed files; what became of them, counted."""
    ends: Counter[str] = Counter()

    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed=files())
    def read(changed: tuple[str, bytes]) -> None:
        suffix, content = changed
        file = folder / f"changed.{suffix}"
        file.write_bytes(content)
        ends[words(outcome(file))] += 1

    read()
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        corpus = Counter(words(outcome(path)) for _, path in make_corpus(Path(folder, "corpus")))
        seconds = time.monotonic() - start
        print(
            f"corpus: {corpus.total()} files, {corpus['loads']} load, 0 unexpected outcomes, {seconds:.0f} s"
        )
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        ends = fuzz(arguments.cases, arguments.seed, Path(folder))
        seconds = time.monotonic() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"fuzz: {ends.total()} files, {ends['loads']} load, {ends.total() - ends['loads']} are refused, "
        f"0 unexpected outcomes, {seconds:.0f} s, {grown:.0f} MB of memory gained"
    )
    for reason, count in ends.most_common(25):
        print(f"{count:7} {reason}")


if __name__ == "__main__":
    main()
