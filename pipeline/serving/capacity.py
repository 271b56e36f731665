"""How many requests a server takes at a time before it refuses further ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pipeline.runtime.cores import available_cores

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
        cores = available_cores()
        return cls(max(1, cores // workers), -(-(_A_CORE * cores if waiting is None else waiting) // workers))
