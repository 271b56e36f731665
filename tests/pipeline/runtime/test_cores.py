"""The cores and threads that a process may use are those of its affinity, its container and its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime import cores
from pipeline.runtime.cores import available_cores
from pipeline.runtime.openmp import available_threads

# The command as its script starts it, and what is seen of the environment afterwards.
_COMMAND = """
import os, sys, jobs.__main__, pipeline.runtime.openmp
assert not {"torch", "lightgbm"} & sys.modules.keys(), "their library reads the environment once"
sys.argv = ["gradops", "--version"]
try:
    jobs.__main__.main()
finally:
    print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a container's share, on a machine of four cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(("text", "number"), [(None, 4), ("max 100000", 4), ("150000 100000", 2), ("50000 100000", 1)])
def test_a_containers_share_of_the_processor_counts(four_cores: Path, text: str | None, number: int) -> None:
    if text is not None:
        four_cores.write_text(f"{text}\n")
    assert available_cores() == number


@pytest.mark.parametrize(
    ("wanted", "number"), [(None, 4), ("1", 1), (" 3 ", 3), ("9", 4), ("0", 4), ("2,1", 2), ("x", 4)]
)
@pytest.mark.usefixtures("four_cores")
def test_the_environment_may_want_fewer_threads(
    wanted: str | None, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert available_threads() == number


@pytest.mark.parametrize(
    ("given", "seen"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_commands_let_waiting_threads_sleep_unless_the_environment_says_how_they_wait(
    given: dict[str, str], seen: str
) -> None:
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", _COMMAND], env=own | given, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == seen
