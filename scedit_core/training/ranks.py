"""Processes that train together, on one computer or many: what they tell each other.

They are started by torchrun, or by whatever else sets its environment variables.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import SCEditError

# How long a process waits for the others, of which one may be saving or drawing a preview.
_PATIENCE = timedelta(minutes=30)
_MOST_HALF = 15  # sums in half precision stay below 2 to this power: its largest number is 2**16


class Ranks(Protocol):
    """The processes of a training. Process `rank` of `size` learns from every size-th picture of a batch.

    Every method but `rank` and `size` is called by all of them, in the same order.
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0; the first one writes files."""
        ...

    @property
    def size(self) -> int:
        """How many they are."""
        ...

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor; the tensors are of one dtype."""
        ...

    def any(self, flag: bool) -> bool:
        """True on all of them if it is on one."""
        ...

    def differing(self, facts: Mapping[str, str]) -> list[str]:
        """Names of the facts that are not the same on all of them."""
        ...

    def barrier(self) -> None:
        """Wait until all of them are here."""
        ...


class Alone:
    """One process, which has nobody to ask."""

    rank, size = 0, 1

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """They are the sum already."""

    def any(self, flag: bool) -> bool:
        """The flag itself."""
        return flag

    def differing(self, facts: Mapping[str, str]) -> list[str]:
        """None."""
        return []

    def barrier(self) -> None:
        """Wait for nobody."""


class Distributed:
    """Processes joined by torch.distributed: gloo between CPUs, NCCL between NVIDIA cards.

    Tensors are summed in one piece: the order of the sum is always the same, so that a run that is taken up
    again with as many processes comes to the same bits, which PyTorch's DDP does not from three on. With
    `half`, float32 travels as float16, scaled so that it neither overflows nor vanishes.
    """

    def __init__(self, *, half: bool = False) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._half = half

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor; the tensors are of one dtype."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        flat = self._sum_half(flat) if self._half and flat.dtype == torch.float32 else _reduced(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """True on all of them if it is on one."""
        # on the CPU: what the card still has to do is not waited for
        return bool(_reduced(torch.tensor([flag], dtype=torch.int32)))

    def differing(self, facts: Mapping[str, str]) -> list[str]:
        """Names of the facts that are not the same on all of them."""
        hashes = [hashlib.sha256(fact.encode()).digest()[:8] for fact in facts.values()]
        mine = torch.tensor([int.from_bytes(part, "big", signed=True) for part in hashes])
        least = _reduced(mine.clone(), "MIN")
        most = _reduced(mine, "MAX")
        return [name for name, same in zip(facts, (least == most).tolist(), strict=True) if not same]

    def barrier(self) -> None:
        """Wait until all of them are here."""
        self.any(False)

    def _sum_half(self, flat: Tensor) -> Tensor:
        """The sum of float32 tensors that travel as float16, of which a power of two is taken out."""
        bound = _reduced(flat.abs().max().view(1))  # no sum can be larger than that of the largest
        scale = torch.exp2(_MOST_HALF - 1 - bound.clamp(min=1e-30).log2().floor())
        return _reduced((flat * scale).half()).float() / scale


@contextmanager
def joined(*, half: bool = False) -> Iterator[Ranks]:
    """The processes that a launcher started, by its environment variables; `Alone` if there was none.

    Inside, all processes can speak to each other. SCEditError if they do not come together.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Alone()
        return
    if not dist.is_available():
        raise SCEditError("this PyTorch was built without torch.distributed; train in one process")
    cards = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cards else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise SCEditError(
            f"the processes of this training could not find each other ({_first_line(error)}); start them "
            "with torchrun, and with another --master-port if that one is taken"
        ) from error
    try:
        yield Distributed(half=half)
    finally:
        dist.destroy_process_group()


@contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Do something that may fail on one process alone: if it does, all stop here, and nobody waits forever.

    The one raises its own error, the others SCEditError.
    """
    failed = True
    try:
        yield
        failed = False
    finally:
        anywhere = ranks.any(failed)
    if anywhere:
        raise SCEditError(
            "another process of this training stopped with an error; look at what it said, and start again: "
            "the training goes on from its last state"
        )


def check_same(ranks: Ranks, facts: Callable[[], Mapping[str, str]]) -> None:
    """SCEditError unless all processes have the same facts, which are gathered only if there are several."""
    if ranks.size == 1:
        return
    differing = ranks.differing(facts())
    if differing:
        raise SCEditError(
            f"the {ranks.size} processes of this training do not have the same {', '.join(differing)}; give "
            "all of them the same job, data set and output folder, on a disk that all of them see"
        )


def _reduced(tensor: Tensor, how: Literal["SUM", "MIN", "MAX"] = "SUM") -> Tensor:
    """The tensor, in whose place is now what all processes made of theirs."""
    try:
        dist.all_reduce(tensor, getattr(dist.ReduceOp, how))
    except RuntimeError as error:
        raise SCEditError(
            f"another process of this training ended or can no longer be reached ({_first_line(error)}); "
            "look at what it said, and start again: the training goes on from its last state"
        ) from error
    return tensor


def _first_line(error: Exception) -> str:
    """What an error of PyTorch says, without its stack."""
    return str(error).strip().partition("\n")[0][:200]
