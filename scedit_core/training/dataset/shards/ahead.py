"""Pictures drawn in a few worker threads, ahead of whoever takes them, in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ....errors import SCEditError
from .drawing import Drawn, PrepareSettings, draw
from .sources import LeftOut, Source

WORKERS = max(1, min(8, os.cpu_count() or 1))  # Pillow, OpenCV and zlib let other threads run
_IN_FLIGHT = 2 * WORKERS
_MOST_WAITING = 4  # batches' worth of pictures that wait for others of their size


def drawn_ahead(
    sources: Iterable[Source], settings: PrepareSettings, left_out: LeftOut, tick: Callable[[], None]
) -> Iterator[Drawn]:
    """Each source, drawn, in order; those that cannot be read are counted in `left_out`."""
    waiting: deque[Future[Drawn | str]] = deque()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="scedit-draw") as pool:
        try:
            for source in sources:
                waiting.append(pool.submit(_drawn_or_reason, source, settings))
                if len(waiting) >= _IN_FLIGHT:
                    tick()
                    yield from _taken(waiting.popleft(), left_out)
            while waiting:
                tick()
                yield from _taken(waiting.popleft(), left_out)
        finally:
            for future in waiting:
                future.cancel()


def _drawn_or_reason(source: Source, settings: PrepareSettings) -> Drawn | str:
    try:
        return draw(source, settings)
    except SCEditError as error:
        return str(error)


def _taken(future: Future[Drawn | str], left_out: LeftOut) -> Iterator[Drawn]:
    found = future.result()
    if isinstance(found, str):
        left_out.add(found)
    else:
        yield found


def batches(drawn: Iterable[Drawn], size: int) -> Iterator[list[Drawn]]:
    """Pictures of one size together, `size` at most; few are held back for others of their size."""
    waiting: dict[tuple[int, int], list[Drawn]] = {}
    for one in drawn:
        group = waiting.setdefault(one.crop.size, [])
        group.append(one)
        if len(group) == size:
            yield waiting.pop(one.crop.size)
        elif sum(map(len, waiting.values())) > _MOST_WAITING * size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()
