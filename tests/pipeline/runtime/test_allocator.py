"""Memory that stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Six times 1 MiB at a time, of 256 pages each, a hundred times.
FAULTS = """
import resource, sys
import numpy as np
from pipeline.runtime.allocator import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "kept" else False)
for rounds in (1, 100):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        held = [np.ones(1 << 17) for _ in range(6)]
        del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and the page faults once the first round is over."""
    command = [sys.executable, "-c", FAULTS, how]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    kept, number = found.split()
    return kept == "True", int(number)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    kept, number = faults("kept")
    assert kept
    assert number < 256, "a round has no page of its own; a few faults are the interpreter's"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_thresholds_that_the_environment_sets_are_left() -> None:
    # With a mapping for each array, which goes back when it is freed.
    kept, number = faults("kept", MALLOC_MMAP_THRESHOLD_="131072")
    assert not kept
    assert number > 100 * 6 * 256
