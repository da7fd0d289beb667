"""What a training costs as its data set and its processes grow.

    python dev.py bench training_scale [--examples 1000 50000] [--steps 200] [--rounds 3]

Memory and time of a step with data sets on disk of several sizes, each trained on by a process of its own;
and weak scaling: two processes with one thread each, each with as many pictures in a batch as the one that it
is compared with has, which has one thread too. Prints ratios, the bytes that travel in a step and those of
the weights, and the bytes on disk of an example. The base model is a net of eight convs, the pictures are
64 x 64 (growing sets) and 256 x 256 (scaling). Wants a quiet machine with two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "core" / "training")]

from support import REPOSITORY, load_package

load_package("scedit_core", REPOSITORY / "scedit_core")

import numpy as np
import torch
import torch.distributed as dist
from process_memory import resident
from training_tools import SmallModel

from scedit_core import EncoderSize, SkipLayout, TunerSpec, build_tuners
from scedit_core.spec import StemSize
from scedit_core.training import Example, TrainConfig, Trainer, TrainingSet, train
from scedit_core.training.dataset.buckets import Crop
from scedit_core.training.dataset.shards import Prepared, open_dataset, to_png, write_dataset
from scedit_core.training.dataset.shards.manifest import Head
from scedit_core.training.dataset.stored import StoredExamples, Told
from scedit_core.training.ranks import Ranks, joined

SIDE, LARGE, WIDTH = 64, 256, 64
EACH = 4  # pictures of a process in a batch, when scaling
WARM_UP = 5  # steps that are not counted


def write(folder: Path, count: int) -> None:
    """A data set of so many examples, which differ in their latents and captions."""
    draw = np.random.default_rng(0)
    edges = to_png(draw.integers(0, 2, (SIDE, SIDE, 1), np.uint8).repeat(3, -1) * np.uint8(255))
    latents = draw.standard_normal((64, 4, SIDE // 8, SIDE // 8)).astype(np.float16)
    sizes = Crop((SIDE, SIDE), (SIDE, SIDE)).sizes

    def examples() -> Iterator[Prepared]:
        for number in range(count):
            yield Prepared(f"{number}.png", 0, latents[number % 64], f"picture {number}", ((edges,),), sizes)

    head = Head(resolution=SIDE, buckets=True, hints=("canny",), vae="a VAE", latent_channels=4)
    write_dataset(folder, examples(), head)


def trainer(data: TrainingSet, width: int, config: TrainConfig, ranks: Ranks) -> Trainer:
    """A training of a control on the small net."""
    torch.manual_seed(1)
    layout = SkipLayout((width,) * 4, (1, 2, 1, 1))
    tuners = build_tuners(TunerSpec.csc(layout, encoder=EncoderSize(stem=StemSize(0.25, 8))))
    return Trainer([tuners], SmallModel(width=width), data, config, ranks)


def timed(run: Trainer) -> list[float]:
    """Seconds of each step after the first ones."""
    times = [time.perf_counter()]
    train(run, lambda _: times.append(time.perf_counter()), lambda _: None)
    return [after - before for before, after in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)]


def growing(folder: str, steps: int) -> dict[str, Any]:
    """Memory and time of a training from a data set."""
    stored = open_dataset(Path(folder))
    data = TrainingSet(StoredExamples(stored, lambda x: x, lambda told: [t.text for t in told]), Told("", ()))
    with joined() as ranks:
        seconds = timed(trainer(data, 8, TrainConfig(steps=steps, batch_size=8), ranks))
    return {"seconds": statistics.median(seconds), "memory": resident("VmRSS"), "peak": resident("VmHWM")}


def scaling(steps: int) -> dict[str, Any]:
    """Time of a step in this process, one of those of the environment, and the bytes that travel in it."""
    side = LARGE // 8
    torch.manual_seed(0)  # the processes have the same pictures
    pictures = [Example(torch.randn(4, side, side), "", (torch.rand(1, 3, LARGE, LARGE),)) for _ in range(16)]
    sent, real = [], dist.all_reduce

    def all_reduce(tensor: torch.Tensor, *rest: Any) -> Any:
        sent.append(tensor.nbytes)
        return real(tensor, *rest)

    dist.all_reduce = all_reduce
    with joined() as ranks:
        config = TrainConfig(steps=steps, batch_size=EACH * ranks.size)
        run = trainer(TrainingSet(pictures), WIDTH, config, ranks)
        seconds = timed(run)
    weights = sum(weights.nbytes for weights in run.parameters)
    return {"seconds": statistics.median(seconds), "sent": sum(sent) / steps, "weights": weights}


def children(size: int, *arguments: str) -> list[dict[str, Any]]:
    """What so many processes of this script, with one thread each and joined if they are several, answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared = {"WORLD_SIZE": str(size), **address, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", *arguments]
    running = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank)}, stdout=subprocess.PIPE)
        for rank in range(size)
    ]
    return [json.loads(process.communicate(timeout=1800)[0]) for process in running]


def report_growing(counts: list[int], steps: int, rounds: int) -> None:
    """Print memory and time by the number of examples."""
    print(f"{'examples':>10}{'RSS MB':>9}{'/ first':>9}{'ms a step':>11}{'/ first':>9}{'bytes each':>12}")
    with tempfile.TemporaryDirectory() as place:
        folders = {count: Path(place, str(count)) for count in counts}
        for count, folder in folders.items():
            write(folder, count)
        found: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
        for _ in range(rounds):
            for count, folder in folders.items():
                found[count] += children(1, "growing", str(steps), str(folder))
        sizes = {count: sum(f.stat().st_size for f in folders[count].iterdir()) for count in counts}
    middle = {
        count: [statistics.median(one[what] for one in ones) for what in ("memory", "seconds")]
        for count, ones in found.items()
    }
    first = middle[counts[0]]
    for count, (memory, seconds) in middle.items():
        print(
            f"{count:10}{memory / 1e6:9.1f}{memory / first[0]:9.3f}{1e3 * seconds:11.2f}"
            f"{seconds / first[1]:9.3f}{sizes[count] / count:12.0f}"
        )


def report_scaling(steps: int, rounds: int) -> None:
    """Print how long a step takes with one process and with two."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for size in found:
            answers = children(size, "scaling", str(steps))
            found[size].append(max(answer["seconds"] for answer in answers))
    one, two = (statistics.median(times) for times in found.values())
    print(f"\n{EACH} pictures of {LARGE} x {LARGE} for each process, one thread each:")
    print(f"one process {1e3 * one:.1f} ms a step, two {1e3 * two:.1f} ms: efficiency {one / two:.3f}")
    print(f"a step sends {answers[0]['sent']:.0f} bytes, the weights have {answers[0]['weights']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        torch.set_num_threads(1)
        kind, steps, *folder = options.child
        answer = growing(folder[0], int(steps)) if kind == "growing" else scaling(int(steps))
        print(json.dumps(answer))
        return
    report_growing(options.examples, options.steps, options.rounds)
    report_scaling(max(WARM_UP + 5, options.steps // 5), options.rounds)


if __name__ == "__main__":
    main()
