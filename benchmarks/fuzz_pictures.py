"""Pictures changed at random, by the thousand: each has to be read or to be refused in one sentence.

    python dev.py bench fuzz_pictures [--cases 10000] [--seed 0]

Prints how many were read and how many were refused, by the words of the refusal, the time of the slowest and
the growth of memory. Any other end stops the run with the picture that led to it.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "core" / "training")]

from support import REPOSITORY, load_package

load_package("scedit_core", REPOSITORY / "scedit_core")

from hypothesis import HealthCheck, given, seed, settings
from picture_tools import picture_outcome, pictures


def words(sentence: str) -> str:
    """The part of a refusal that is the same for all pictures that are refused for the same reason."""
    return " ".join(re.sub(r"'[^']*'|\S*[\d/\\]\S*", "", sentence).split()[:8])


def fuzz(cases: int, number: int, folder: Path) -> tuple[Counter[str], float]:
    """Read so many changed pictures; what became of them, counted, and the seconds of the slowest."""
    ends: Counter[str] = Counter()
    times = [0.0]

    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changed=pictures())
    def read(changed: tuple[str, bytes]) -> None:
        suffix, content = changed
        file = folder / f"changed.{suffix}"
        file.write_bytes(content)
        start = time.monotonic()
        ends[words(picture_outcome(file))] += 1
        times.append(time.monotonic() - start)

    read()
    return ends, max(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, of damaged EXIF
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ends, slowest = fuzz(arguments.cases, arguments.seed, Path(folder))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{ends.total()} pictures, {ends['read']} read, {ends.total() - ends['read']} refused, 0 unexpected "
        f"outcomes, {time.monotonic() - start:.0f} s, slowest {slowest:.1f} s, {grown:.0f} MB gained"
    )
    for reason, count in ends.most_common(25):
        print(f"{count:7} {reason}")


if __name__ == "__main__":
    main()
