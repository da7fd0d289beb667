"""Remembering less for backward and computing it again: the memory option of a training.

A frozen decoder has to remember what its layers saw, and most of that is cheap to compute again: norms,
activations, narrow matrix products. What runs through `recomputed` remembers its inputs alone and, in mode
"cheap", the results that took much work (see `COSTLY`). Loss and gradients stay the same bit for bit.

A host runs the layers of its output blocks, and the tuners, through it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

# "off" remembers everything, "cheap" what is costly to compute again, "all" only what goes into a layer
Recompute = Literal["off", "cheap", "all"]

MODES: tuple[Recompute, ...] = get_args(Recompute)

# Multiply-adds per number of a result from which on it is remembered, not computed again. Remembers 3x3 convs
# from 223 channels and attention from 1000 tokens on; not the linear layers, whose results are many and take
# little work.
COSTLY = 2000

_Result = TypeVar("_Result", bound="Tensor | tuple[Tensor, ...]")


def recomputed(mode: Recompute, run: Callable[..., _Result], *inputs: Tensor) -> _Result:
    """`run(*inputs)`, remembering less of it for backward, which runs it again up to where that is needed.

    `run` must give the same both times: it draws no random numbers, and what it reads beside its inputs does
    not change in between.
    """
    if mode == "off" or not torch.is_grad_enabled():
        return run(*inputs)
    options = {"context_fn": _remember_costly} if mode == "cheap" else {}
    run_again: Any = partial(checkpoint, use_reentrant=False, preserve_rng_state=False, **options)
    return run_again(run, *inputs)


def layer_handler(mode: Recompute, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Handler of a kind of layer: those of output blocks remember less, those of other blocks run as before.

    `call(layer, x, emb, context, options, *rest)` calls a layer as its host does, which changes `options`.
    """

    def handler(layer: Any, x: Tensor, emb: Any, context: Any, options: dict[str, Any], *rest: Any) -> Tensor:
        # without a gradient to pass on, as before the first tuned skip, a layer remembers nothing anyway
        if mode == "off" or options["block"][0] != "output" or not x.requires_grad:
            return call(layer, x, emb, context, options, *rest)
        before, after = dict(options), {}

        def run(x: Tensor) -> Tensor:
            own = dict(before)  # the second time, in backward, the host's options have moved on
            x = call(layer, x, emb, context, own, *rest)
            after.update(own)
            return x

        x = recomputed(mode, run, x)
        options.update(after)
        return x

    return handler


def _remember_costly() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """The contexts in which a checkpoint runs something for the first and for the second time."""
    results: list[Any] = []
    return _Remember(results), _Recall(results)


class _Remember(TorchDispatchMode):
    """Collects the results of costly operations, in their order.

    Unlike PyTorch's selective checkpointing, whose two runs must be alike in every operation: a host's casts
    and copies of weights need not happen again.
    """

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.results = results
        self._latest: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # a result counts once something follows it: backward does not ask for that of the last operation
        self.results += self._latest
        result = func(*args, **(kwargs or {}))
        # detached: a tensor that knows its own graph would keep it alive
        self._latest = [tree_map_only(Tensor, torch.detach, result)] if _is_costly(func, args) else []
        return result


class _Recall(TorchDispatchMode):
    """Answers costly operations with the results of the first run."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.results = results

    def __enter__(self) -> _Recall:
        self._recalled = iter(self.results)
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_costly(func, args):
            for result in self._recalled:
                return tree_map_only(Tensor, torch.detach, result)
        return func(*args, **(kwargs or {}))


def _is_costly(func: Any, args: Any) -> bool:
    return _work(func.overloadpacket.__name__, args) >= COSTLY


def _work(name: str, args: Any) -> int:
    """Multiply-adds for each number that an operation of ATen makes; 0 for what is not a sum of products."""
    if name == "convolution":
        return args[1][0].numel()
    if name in ("mm", "bmm"):
        return args[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return args[1].shape[-1]
    if name.startswith("_scaled_dot_product"):
        return 2 * args[1].shape[-2]
    return 0
