"""The cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

# The file of the kernel that says how many microseconds of work a container may do in how many.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """The cores that this process may use: those of its affinity, or fewer if its container's share is smaller."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = _QUOTA.read_text().split()
        return max(1, min(cores, -(-int(allowed) // int(period))))
    except (OSError, ValueError):  # another system, or no limit, which is the word `max`
        return cores
