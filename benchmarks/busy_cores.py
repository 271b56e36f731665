"""Boosting beside other jobs, for several counts of turns of a waiting thread: `python -m benchmarks.busy_cores`.

A line's figures are the wall seconds of 60 trees by a thread a core over those of one thread beside the same jobs, each
in a process of its own. See :mod:`pipeline.runtime.openmp`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.markdown import head, row
from pipeline.comparison.boosting_trees import Rows, grown
from pipeline.runtime.cores import available_cores

_TREES, _COLUMNS = 60, 40
_LIMIT, _START = 60, 10  # seconds of boosting, and of its process before them, after which there is no figure


def rows(number: int, seed: int) -> Rows:
    """Rows with a label on which two of the columns bear."""
    generator = np.random.default_rng(seed)
    column_NC = generator.integers(0, 50, (number, _COLUMNS)).astype(np.float32)
    chance_N = 1 / (1 + np.exp((column_NC[:, 1] - column_NC[:, 0]) / 30))
    return Rows(column_NC, (generator.random(number) < chance_N).astype(np.float64))


def boost(number: int) -> None:
    """Print the seconds of boosting."""
    train, val = rows(number, 0), rows(number // 20, 1)
    settings = {"num_leaves": 50, "learning_rate": 0.04}
    started = time.perf_counter()
    grown(train, val, [False] * _COLUMNS, settings, trees=_TREES, patience=_TREES)
    print(time.perf_counter() - started)


def seconds(number: int, environment: dict[str, str]) -> float | None:
    """The seconds of boosting in a process with an environment of its own; None well beyond the limit."""
    command = [sys.executable, "-m", "benchmarks.busy_cores", "--rows", str(number), "--once"]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))} | environment
    try:
        done = subprocess.run(command, env=own, capture_output=True, timeout=_LIMIT + _START, check=True)
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout)


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """Processes that use a core each, in sessions of their own as other users' jobs are."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=190_000)
    parser.add_argument("--once", action="store_true", help="boost in this process alone")
    arguments = parser.parse_args()
    if arguments.once:
        boost(arguments.rows)
        return
    cores = available_cores()
    heads = ["other jobs", "one thread, s", "a thread a core, GNU's wait", "10,000 turns", "1,000 turns"]
    print(*head(heads), sep="\n")
    for number in range(cores + 1):
        with neighbours(number):
            one = seconds(arguments.rows, {"OMP_NUM_THREADS": "1"})
            assert one is not None, "even one thread takes longer than the limit"
            found = [seconds(arguments.rows, {"GOMP_SPINCOUNT": turns}) for turns in ("300000", "10000", "1000")]
        shown = [f"{value / one:.2f}" if value else f"> {_LIMIT / one:.0f}" for value in found]
        print(row([str(number), f"{one:.2f}", *shown]), flush=True)


if __name__ == "__main__":
    main()
