"""What is told of a training before its first step."""

import dataclasses
import gc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training_tools import CONFIG, trainer

from scedit_core.training.memory import estimate
from scedit_core.training.memory.estimate import estimate_memory, estimate_seconds
from scedit_core.training.memory.recompute import MODES
from scedit_core.training.memory.recorded import Recorder


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


def graphs_alive():
    """How many tensors are alive that remember what they were made of, and keep that alive."""
    gc.collect()
    things = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    return sum(thing.grad_fn is not None for thing in things)


def test_an_operation_that_saves_its_own_result_is_let_go():
    weights = torch.ones(3, requires_grad=True)
    before = graphs_alive()
    recorder = Recorder([weights])
    with recorder.recording():
        result = weights.exp()
    assert recorder.kept(result).total() == result.nbytes
    del result
    assert graphs_alive() == before


@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_the_trials_stays_in_memory(mode):
    """They are forwards without a backward, which alone lets go of what a graph keeps."""
    run = trainer(dataclasses.replace(CONFIG, recompute=mode))
    before = graphs_alive()
    estimate_memory(run)
    assert graphs_alive() == before
