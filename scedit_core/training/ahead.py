"""Reads what a training needs next in threads, while it is at what it has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Ahead(Generic[_Item]):
    """Items 0, 1, ... in their order, of which as many are made ahead as there are threads.

    `make(number)` is called in the threads. They end with the context, and nothing is made from `end` on.
    """

    def __init__(self, make: Callable[[int], _Item], threads: int, end: int) -> None:
        self._make = make
        self._threads = threads
        self._end = end
        self._begun: deque[tuple[int, Future[_Item]]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scedit-reads")

    def __enter__(self) -> Ahead[_Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun.clear()
        self._pool.shutdown(cancel_futures=True)

    def take(self, number: int) -> _Item:
        """Item `number`, waited for. Raises what making it raised, and not before it is its turn."""
        if self._begun and self._begun[0][0] != number:  # somewhere else in the run
            for _, item in self._begun:
                item.cancel()
            self._begun.clear()
        begin = self._begun[-1][0] + 1 if self._begun else number
        for other in range(begin, max(number + 1, min(number + 1 + self._threads, self._end))):
            self._begun.append((other, self._pool.submit(self._make, other)))
        return self._begun.popleft()[1].result()
