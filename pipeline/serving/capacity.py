"""How many requests a server takes at a time before it refuses further ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Requests that wait behind each one that is scored; measured in `benchmarks/RESULTS.md`.
_A_CORE = 8
# The file of the kernel that says how many microseconds of work a container may do in how many.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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


def available_cores() -> int:
    """The cores that this process may use: those of its affinity, or fewer if its container's share is smaller."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = _QUOTA.read_text().split()
        return max(1, min(cores, -(-int(allowed) // int(period))))
    except (OSError, ValueError):  # another system, or no limit, which is the word `max`
        return cores
