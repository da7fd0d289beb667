"""What is told of a training before its first step."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training_tools import CONFIG, trainer

from scedit_core.training.memory import estimate
from scedit_core.training.memory.estimate import estimate_memory, estimate_seconds


class QueueingDevice(TorchDispatchMode):
    """A device that only queues its work, a second for each operation, until a number is read back from it.

    `now` is the time on the wall.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queued = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.now, self.queued = self.now + self.queued, 0
        else:
            self.queued += 1
        return func(*args, **(kwargs or {}))


def test_the_time_told_is_that_of_work_done_not_of_work_queued(monkeypatch):
    run = trainer(dataclasses.replace(CONFIG, steps=100, accumulation=3))
    with QueueingDevice() as batch:
        run.loss(0).backward()
    run.optimizer.zero_grad()
    with QueueingDevice() as device:
        run.parameters[0].add(1)  # work that is not the training's
        monkeypatch.setattr(estimate.time, "perf_counter", lambda: device.now)
        told = estimate_seconds(run)
    assert told == pytest.approx(100 * 3 * batch.queued, rel=0.05)
    assert all(weights.grad is None for weights in run.parameters)


def test_averages_in_float32_are_counted_as_such():
    plain, averaged = (
        trainer(dataclasses.replace(CONFIG, precision="bf16", ema_decay=decay)) for decay in (0, 0.9)
    )
    more = estimate_memory(averaged) - estimate_memory(plain)
    assert more == 4 * sum(weights.numel() for weights in averaged.parameters)
