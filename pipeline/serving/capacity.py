"""How many requests a server takes at a time before it refuses further ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

# Requests that wait behind each one that is scored; measured in `benchmarks/RESULTS.md`.
_A_CORE = 8


@dataclass(frozen=True)
class Capacity:
    """The requests that one process takes.

    Args:
        at_once: Number of requests that are scored at the same time.
        waiting: Largest number of requests in progress, scored or waiting; further ones are refused at once.
    """

    at_once: int
    waiting: int

    @classmethod
    def of(cls, waiting: int | None = None, workers: int = 1) -> Self:
        """The share of one worker in what a server takes.

        Args:
            waiting: Largest number of requests in progress in the whole server; None for eight a core.
            workers: The number of the server's processes.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        at_once = max(1, cores // workers)
        return cls(at_once, _A_CORE * at_once if waiting is None else -(-waiting // workers))
