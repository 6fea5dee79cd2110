"""Prefetch: read and decode the next scenes while the current one is used."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Calls computed in advance. On two cores and local files the STACK of a tile with 80 scenes takes 18 s with one, 12 s
#: with two, 12 s with three or four (benchmarks/stack_tile.py, set by hand). Each call holds one image in memory.
AHEAD = 2


def in_order(calls: Sequence[Callable[[], T]], ahead: int = AHEAD) -> Iterator[T]:
    """Yield results of independent calls in order, with at most `ahead` of them computed in advance.

    An exception of a call is raised where its result would be yielded. Calls that have not started are then cancelled.
    """
    with ThreadPoolExecutor(ahead, thread_name_prefix="read") as pool:
        under_way: deque[Future[T]] = deque()
        waiting = iter(calls)
        try:
            for call in waiting:
                under_way.append(pool.submit(call))
                if len(under_way) > ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
