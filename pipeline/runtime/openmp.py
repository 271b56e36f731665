"""Threads of OpenMP, which share the work of LightGBM and torch inside a process."""

from __future__ import annotations

import os

from pipeline.runtime.cores import available_cores

_TURNS = "1000"  # of waiting before a thread sleeps; some microseconds
_OWN_WAITS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def let_waiting_threads_sleep() -> None:
    """Let a thread that waits for the others sleep at once; to be called before torch or LightGBM is imported.

    By default GNU's threads turn in a loop for milliseconds. Beside other jobs they so hold the core that the
    thread for which they wait needs, and two threads take many times as long as one (`benchmarks/RESULTS.md`). What the
    environment says of it stays, and child processes inherit it.
    """
    if not any(name in os.environ for name in _OWN_WAITS):
        os.environ["GOMP_SPINCOUNT"] = _TURNS


def available_threads() -> int:
    """The number of threads that this process may use: one a core, or fewer if ``OMP_NUM_THREADS`` says so."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is of nested levels
    cores = available_cores()
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) else cores
