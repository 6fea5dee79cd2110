"""Reading ahead: the next scenes are fetched and decoded while this one is used."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Calls under way beside the one whose answer is in use. One more hides another 3 % of a tile's time on local files and
#: holds another look (100 MB at 2048 px).
AHEAD = 2


def in_order(calls: Sequence[Callable[[], T]], ahead: int = AHEAD) -> Iterator[T]:
    """Answers of independent calls, in their order, at most `ahead` of them computed before they are asked for.

    What a call raises is raised where its answer would come; calls that have not begun are then dropped.
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
