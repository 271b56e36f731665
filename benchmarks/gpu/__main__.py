"""The first check of a GPU machine: `make gpu`, or `python -m benchmarks.gpu`, at most 8 minutes and without network.

Four tables, to be pasted as they are:

- *exactness*: short runs on a few rows of Census-income on the GPU and on the CPU; for each the largest relative
  difference of what the first step measured (lengths, cosines, weights), and of the losses after ten steps. A
  difference above its limit ends the command with an error, after all tables.
- *steps*: milliseconds of a step and rows a second, with ratios to the uniform step, in networks of two sizes. Steps
  are timed with all that they queue; the batch is on the GPU.
- *epoch*: rows a second of one epoch over a generated click log, batches from the disk included; by method and
  precision, and on the CPU.
- *ranks*: the same epoch on two GPUs over NCCL, if there are two, and the difference of its validation losses.

Without CUDA it says so in one sentence and ends with an error.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.gpu import epoch, exactness, ranks, steps
from pipeline.runtime.versions import result_versions


def main() -> None:
    """Print the tables.

    Raises:
        SystemExit: Without CUDA, or if results on the GPU differ from those on the CPU.
    """
    if not torch.cuda.is_available():
        sys.exit("This machine has no CUDA device that this build of torch can use: nothing was run.")
    started = time.perf_counter()
    print(_machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wrong = exactness.print_table(folder / "exactness", "cuda")
        steps.print_table("cuda")
        log = epoch.click_log(folder / "log")
        epoch.print_table(log, "cuda")
        wrong += ranks.print_table(log, torch.cuda.device_count())
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    if wrong:
        sys.exit(f"Not equal to the CPU within the limits: {'; '.join(wrong)}.")


def _machine() -> str:
    names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
    found = ", ".join(f"{name} {version}" for name, version in result_versions().items())
    return f"{torch.cuda.device_count()} x {', '.join(sorted(names))}; CUDA {torch.version.cuda}; {found}"


if __name__ == "__main__":
    main()
