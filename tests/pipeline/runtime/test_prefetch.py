"""Results come in order, jobs run ahead but not too far, and their errors reach the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from threading import Barrier

import pytest

from pipeline.runtime.prefetch import prefetch


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(threads: int) -> None:
    assert list(prefetch((partial(pow, number, 2) for number in range(20)), threads)) == [n * n for n in range(20)]
    assert list(prefetch(iter(()), threads)) == []


def test_as_many_jobs_as_threads_run_at_the_same_time() -> None:
    both = Barrier(2)  # passed by two threads at once, or by none
    assert len(list(prefetch((partial(both.wait, 30) for _ in range(6)), threads=2))) == 6


def test_only_the_jobs_whose_results_come_next_are_begun() -> None:
    begun: list[int] = []

    def jobs() -> Iterator[Callable[[], int]]:
        for number in range(10):
            begun.append(number)
            yield partial(int, number)

    results = prefetch(jobs(), threads=2)
    assert next(results) == 0
    assert len(begun) == 3


def test_an_error_reaches_the_caller() -> None:
    results = prefetch([partial(int, "1"), partial(int, "x")])
    assert next(results) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(results)
