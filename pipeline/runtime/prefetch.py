"""Work done in threads shortly before its results are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")


def prefetch(jobs: Iterable[Callable[[], Result]], threads: int = 1) -> Iterator[Result]:
    """The results of jobs, in order; the next jobs run in threads while the caller uses the result of an earlier one.

    Args:
        jobs: Functions to call, read only as threads become free.
        threads: Number of jobs that run at the same time, and largest number of results waiting for the caller.
    """
    waiting = iter(jobs)
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque(pool.submit(job) for job in islice(waiting, threads))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(job) for job in islice(waiting, 1))
            yield result
