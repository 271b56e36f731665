"""Work that is done a little ahead of whoever uses its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")


def ahead(jobs: Iterable[Callable[[], Result]], threads: int = 1) -> Iterator[Result]:
    """The results of jobs, in order: so many jobs run in threads while the caller uses the result of an earlier one.

    Args:
        jobs: What is to be done; taken as it is needed.
        threads: Jobs at the same time, and so at most how many results are held beside the caller's.
    """
    waiting = iter(jobs)
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque(pool.submit(job) for job in islice(waiting, threads))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(job) for job in islice(waiting, 1))
            yield result
