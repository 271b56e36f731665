"""Counts of a server's requests, in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pipeline.serving.answers import Answer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STATUSES = (200, 400, 408, 415, 500, 503)  # those of a request for scores
_BUCKETS = len(_SECONDS) + 1
# The places of a worker's counts: rows, values, unseen values, seconds, then requests by status and by time.
_ROWS, _VALUES, _UNSEEN, _TIME, _BY_STATUS = range(5)
_BY_TIME = _BY_STATUS + len(_STATUSES)
COUNTS = _BY_TIME + _BUCKETS


class Metrics:
    """Counts of the requests of all workers of a server.

    Each worker writes its own row and reads all of them, so the rows need no lock: a count is one aligned number of
    eight bytes. :meth:`count` is called in one thread.

    Args:
        counts_WK: A row of ``COUNTS`` numbers a worker, in memory that the workers share.
        worker: The number of this worker.
    """

    def __init__(self, counts_WK: npt.NDArray[np.float64] | None = None, worker: int = 0) -> None:
        self._counts_WK = np.zeros((1, COUNTS)) if counts_WK is None else counts_WK
        self._own_K = self._counts_WK[worker]

    def count(self, answer: Answer, seconds: float | None) -> None:
        """Count a request.

        Args:
            answer: Its answer.
            seconds: The time from the end of its body to the answer; None for one that was refused: under overload
                they would make the others look fast.
        """
        own_K = self._own_K
        own_K[_BY_STATUS + _STATUSES.index(answer.status)] += 1
        if seconds is not None:
            own_K[_BY_TIME + bisect_left(_SECONDS, seconds)] += 1
            own_K[_TIME] += seconds
        if (counted := answer.counted) is not None:
            own_K[[_ROWS, _VALUES, _UNSEEN]] += (counted.rows, counted.values, counted.unseen)

    def text(self) -> str:
        """All counts, summed over the workers."""
        total_K = self._counts_WK.sum(0)
        rows, values, unseen = map(int, total_K[[_ROWS, _VALUES, _UNSEEN]])
        statuses = zip(_STATUSES, total_K[_BY_STATUS:_BY_TIME].astype(int), strict=True)
        lines = _of("requests_total", "counter", "Requests by HTTP status.")
        lines += [f'gradops_requests_total{{status="{status}"}} {n}' for status, n in statuses if n]
        lines += [*_of("rows_total", "counter", "Rows scored."), f"gradops_rows_total {rows}"]
        lines += _of("values_total", "counter", "Values of the scored rows that have an id.")
        lines += [f"gradops_values_total {values}"]
        lines += _of("unseen_values_total", "counter", "Those of them that are out of vocabulary.")
        lines += [f"gradops_unseen_values_total {unseen}"]
        lines += _of(
            "request_seconds", "histogram", "Time from the end of a request's body to its answer, but for 503."
        )
        up_to = total_K[_BY_TIME:].astype(int).cumsum()
        ends = [*map(str, _SECONDS), "+Inf"]
        lines += [f'gradops_request_seconds_bucket{{le="{end}"}} {n}' for end, n in zip(ends, up_to, strict=True)]
        lines += [f"gradops_request_seconds_sum {total_K[_TIME]:.6f}", f"gradops_request_seconds_count {up_to[-1]}"]
        return "\n".join(lines) + "\n"


def _of(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP gradops_{name} {meaning}", f"# TYPE gradops_{name} {kind}"]
