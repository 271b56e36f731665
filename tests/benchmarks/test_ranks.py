"""The benchmark of ranks, on a log of few rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_it_divides_the_time_of_a_step_and_lists_its_messages() -> None:
    small = [
        "--rows",
        "20000",
        "--steps",
        "2",
        "--counted",
        "3",
        "--shape",
        "clicklog",
        "--set",
        "train.batch_size=256",
    ]
    command = [sys.executable, "-m", "benchmarks.ranks", *small]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    times, messages = found.split("\n\n")
    rows = [line.split() for line in times.splitlines()[2:]]
    assert [(row[1], row[2]) for row in rows] == [
        *(("uniform", "1"), ("gradops(alpha=-1)", "1")),
        *(("uniform", "2"), ("gradops(alpha=-1)", "2")),
    ]
    for row in rows:
        step, compute, exchange, wait = map(float, row[4:8])
        assert step == pytest.approx(compute + exchange + wait, abs=0.3), "a median of two steps is their mean"
        assert compute > 0
    ours = [line.split()[:2] for line in messages.splitlines() if line.strip().startswith("ours")]
    uniform, exact = 3, 6  # kinds of exchanges by who asks for them: all-to-alls of values have one place
    assert len(ours) == 2 * (uniform + exact), "of two and of three ranks"
    assert {kind for _, kind in ours} == {"all-gather", "all-reduce", "all-to-all"}
