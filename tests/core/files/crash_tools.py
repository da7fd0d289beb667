"""Saves whose process is killed at random moments: what is there afterwards has to be whole, old or new.

    PYTHONPATH=. python tests/core/files/crash_tools.py [--rounds 200] [--seed 0]

Each round forks a process that saves one version after the other to the same place, kills it with SIGKILL
within the time of three saves, and reads what lies there. It starts as a process of its own, with one thread:
a fork of more than one may hang.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from scedit_core import EncoderSize, SkipLayout, TunerSpec, build_tuners, load_checkpoint, save_checkpoint
from scedit_core.files.published import write_published
from scedit_core.spec import StemSize

LAYOUT = SkipLayout((256, 128, 64, 64), (1, 2, 1, 1))
SPECS = (
    TunerSpec.sc(LAYOUT),
    TunerSpec.csc(LAYOUT, 2.0, encoder=EncoderSize(stem=StemSize(0.25, 8))),
    TunerSpec.sc(LAYOUT, 2.0),
)

Save = Callable[[int, Path], None]
Read = Callable[[Path], int]


def version(number: int) -> torch.nn.Module:
    """Tuners of this version: of another form each time, and its number in all weights."""
    tuners = build_tuners(SPECS[number % len(SPECS)])
    with torch.no_grad():
        for weights in tuners.parameters():
            weights.fill_(number)
    return tuners


def read_version(path: Path) -> int:
    """The number of the version that lies there, if it is whole."""
    tuners = load_checkpoint(path)
    numbers = {
        float(number) for weights in tuners.state_dict().values() for number in weights.flatten()[[0, -1]]
    }
    if len(numbers) != 1:
        raise ValueError(f"a mixture of versions {sorted(numbers)}")
    number = int(numbers.pop())
    if tuners.spec != SPECS[number % len(SPECS)]:
        raise ValueError(f"version {number} with the sizes of another")
    return number


def save_file(number: int, path: Path) -> None:
    """Save a version as one file."""
    save_checkpoint(version(number), path)


def save_folder(number: int, path: Path) -> None:
    """Save a version in the authors' layout."""
    write_published(version(number), path)


KINDS: dict[str, tuple[str, Save, Read]] = {
    "file": ("tuner.safetensors", save_file, read_version),
    "folder": ("tuner", save_folder, read_version),
}


def hunt(place: Path, save: Save, read: Read, rounds: int, seed: int) -> list[int]:
    """Save and kill so often; the versions found after each round. Raises what `read` raises.

    `save` writes a version by its number to a place, over an earlier one, and `read` gives the number back.
    """
    draw = random.Random(seed)
    save(0, place)
    start = time.monotonic()
    save(1, place)  # over an earlier one, as all that follow
    longest = 3 * (time.monotonic() - start)
    found = [read(place)]
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            try:
                for number in itertools.count(found[-1] + 1):
                    save(number, place)
            finally:
                os._exit(1)
        time.sleep(draw.random() * longest)
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            raise RuntimeError(f"a save over version {found[-1]} failed by itself")
        found.append(read(place))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for kind, (name, save, read) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = hunt(Path(folder, name), save, read, arguments.rounds, arguments.seed)
            left = sum(1 for path in Path(folder).rglob("*") if path.suffix in (".part", ".old"))
        if found != sorted(found):
            raise SystemExit(f"{kind}: an older version came back: {found}")
        sys.stdout.write(
            f"{kind}: {arguments.rounds} kills in {found[-1]} saves, always whole, {left} parts left behind\n"
        )


if __name__ == "__main__":
    main()
