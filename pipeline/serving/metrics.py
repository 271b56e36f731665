"""Counts of a server's requests, in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from pipeline.serving.answers import Answer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counts of the requests of one process. All methods are called in one thread."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._buckets = [0] * (len(_SECONDS) + 1)
        self._seconds, self._rows, self._values, self._unseen = 0.0, 0, 0, 0

    def count(self, answer: Answer, seconds: float) -> None:
        """Count a request.

        Args:
            answer: Its answer.
            seconds: The time from the end of its body to the answer.
        """
        self._requests[answer.status] += 1
        self._seconds += seconds
        self._buckets[bisect_left(_SECONDS, seconds)] += 1
        if (counted := answer.counted) is not None:
            self._rows += counted.rows
            self._values += counted.values
            self._unseen += counted.unseen

    def text(self) -> str:
        """All counts."""
        lines = _of("requests_total", "counter", "Requests by HTTP status.")
        lines += [f'gradops_requests_total{{status="{status}"}} {n}' for status, n in sorted(self._requests.items())]
        lines += [*_of("rows_total", "counter", "Rows scored."), f"gradops_rows_total {self._rows}"]
        lines += _of("values_total", "counter", "Values of the scored rows that have an id.")
        lines += [f"gradops_values_total {self._values}"]
        lines += _of("unseen_values_total", "counter", "Those of them that are out of vocabulary.")
        lines += [f"gradops_unseen_values_total {self._unseen}"]
        lines += _of("request_seconds", "histogram", "Time from the end of a request's body to its answer.")
        total = 0
        for end, n in zip([*map(str, _SECONDS), "+Inf"], self._buckets, strict=True):
            total += n
            lines.append(f'gradops_request_seconds_bucket{{le="{end}"}} {total}')
        lines += [f"gradops_request_seconds_sum {self._seconds:.6f}", f"gradops_request_seconds_count {total}"]
        return "\n".join(lines) + "\n"


def _of(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP gradops_{name} {meaning}", f"# TYPE gradops_{name} {kind}"]
