"""Saves training states until it is killed, for test_state_crash.py."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

import torch
from training_tools import CONFIG, SmallModel, training_set

from scedit_core import SkipLayout, TunerSpec, build_tuners
from scedit_core.training import TrainConfig, Trainer, save_state

LAYOUT = SkipLayout((512, 512, 512, 512), (1, 2, 1, 1))  # 17 MB a state, so that a save takes a while
SETTINGS = TrainConfig(steps=1_000_000, seed=CONFIG.seed, ema_decay=0.9)


def numbered(number: int) -> Trainer:
    """A run after so many steps, all of whose numbers are that of the step."""
    run = Trainer([build_tuners(TunerSpec.sc(LAYOUT))], SmallModel(), training_set(), SETTINGS)
    set_number(run, number)
    return run


def set_number(run: Trainer, number: int) -> None:
    """Make all numbers of a run this one."""
    run.step, run.losses = number, [float(number)] * number
    with torch.no_grad():
        for tensor in (*run.parameters, *run.averages):
            tensor.fill_(number)


def save_on_and_on(run: Trainer, first: int, path: Path) -> None:
    """Save with the numbers from `first` on, and write each number once its save is done."""
    for number in count(first):
        set_number(run, number)
        save_state(run, path)
        os.write(1, f"{number}\n".encode())


def main(path: Path) -> None:
    """For each number on stdin, start a process that saves from that number on, and wait until it is killed.

    Written are its process number, the number of each save that is done, and then 'gone'.
    """
    torch.set_num_threads(1)  # a process that forks may not have threads
    run = numbered(0)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            save_on_and_on(run, int(line), path)
        os.write(1, f"process {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"gone\n")
