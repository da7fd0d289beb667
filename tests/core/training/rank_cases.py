"""Trainings in several processes, for test_ranks.py: forked from one process that has imported everything.

Each line on stdin is a number of processes and the job that they do; what each of them comes to lies in a
file of the job's folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from support import fork
from training_tools import CSC, LAYOUT, LazyExamples, SmallModel, examples

from scedit_core import SCEditError, TunerSpec, build_tuners
from scedit_core.training import TrainConfig, Trainer, TrainingSet, load_state, save_state, train
from scedit_core.training.ranks import Alone, Ranks, joined

SPECS = {"sc": (TunerSpec.sc(LAYOUT),), "two csc": (CSC, TunerSpec.sc(LAYOUT), CSC)}
SIZES = ((4, 4), (4, 6), (4, 4), (6, 4), (4, 4), (4, 4), (4, 6))  # of seven pictures; one is alone


@dataclasses.dataclass(frozen=True)
class Job:
    """A training, and what happens to one of its processes after a step: `kill`, `term`, `nan` or `fail`."""

    folder: str
    config: dict[str, Any]
    specs: str = "sc"
    state: str = ""  # goes on from this one
    half: bool = False
    is_lazy: bool = False
    base: str = "float32"  # in what the base model computes
    save_every: int = 0
    happens: str = ""
    to: int = 1
    after: int = 2


class Happening:
    """Lets happen what happens to this process, and counts what it sends."""

    def __init__(self, job: Job, run: Trainer) -> None:
        self.job, self.run, self.stopped, self.sent = job, run, False, []
        if job.happens == "other seed" and self.is_here:
            run.config = dataclasses.replace(run.config, seed=99)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopped", True))

    @property
    def is_here(self) -> bool:
        return self.run.ranks.rank == self.job.to

    def report(self, run: Trainer) -> None:
        """What train() reports to."""
        if not self.is_here or run.step != self.job.after:
            return
        if self.job.happens == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.job.happens == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.job.happens == "nan":
            run.base.sigmas = torch.full((50,), torch.nan)
        if self.job.happens == "fail":
            raise OSError("the disk is gone")
        if self.job.happens == "damaged":
            run.data.examples.damaged = True

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Bytes of each all-reduce in `sent`."""
        real = dist.all_reduce

        def all_reduce(tensor: torch.Tensor, *rest: Any) -> Any:
            self.sent.append(tensor.nbytes)
            return real(tensor, *rest)

        dist.all_reduce = all_reduce
        try:
            yield
        finally:
            dist.all_reduce = real


def started(job: Job, ranks: Ranks) -> Trainer:
    """The job's training, before its first step or at its state."""
    torch.manual_seed(1)
    specs = SPECS[job.specs]
    pictures = examples(len(SIZES), sum(spec.kind == "csc" for spec in specs), SIZES)
    data = TrainingSet(LazyExamples(pictures) if job.is_lazy else pictures, no_caption="")
    config, base = TrainConfig(**job.config), SmallModel()
    base.dtype = getattr(torch, job.base)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
    run = Trainer([build_tuners(spec).to(dtype) for spec in specs], base, data, config, ranks)
    if job.state:
        load_state(run, Path(job.state))
    return run


def do(job: Job, ranks: Ranks) -> None:
    """Train, and write down what this process came to."""
    folder = Path(job.folder)
    run = started(job, ranks)
    happening, error = Happening(job, run), ""
    with happening.counting():
        try:
            train(
                run,
                happening.report,
                lambda run: save_state(run, folder / "state.safetensors"),
                job.save_every,
                lambda: happening.stopped,
            )
        except (SCEditError, OSError) as caught:
            error = str(caught)
    weights = [weights.flatten() for tensors in (run.parameters, run.averages) for weights in tensors]
    found = {
        "error": error,
        "step": run.step,
        "losses": run.losses,
        "weights": torch.cat(weights).tolist(),
        "sent": happening.sent,
        "bytes": sum(weights.nbytes for weights in run.parameters),
    }
    (folder / f"{ranks.rank}.json").write_text(json.dumps(found))


def process(rank: int, size: int, port: int, job: Job) -> None:
    """What process `rank` of the job does."""
    names = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    with joined(half=job.half) as ranks:
        do(job, ranks)


def main() -> None:
    """For each line on stdin, processes that do its job; the line that is written has their exit codes."""
    torch.set_num_threads(1)  # a process that forks may not have threads
    warm = TrainConfig(steps=1)  # a first step imports much of PyTorch, which every process would do again
    started(Job("", dataclasses.asdict(warm), "two csc"), Alone()).advance()
    for line in sys.stdin:
        size, job = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(size):
            child = fork()
            if child == 0:
                process(rank, size, port, Job(**job))
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        os.write(1, f"{json.dumps(codes)}\n".encode())
