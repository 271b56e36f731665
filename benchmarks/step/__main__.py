"""The cost of gradient surgery in a step, compared with peers: `python -m benchmarks.step [census|clicklog]`.

A way is an implementation of the step, ours or a peer's (another library's). Every way makes the same step of the same
network, on weights of its own: forward, gradients, optimizer. Four tables:

- time (by default): each way's median milliseconds, the median and quartiles of its ratio to the uniform step of the
  same round, and the floor: the ratio of the multiplications in matrix products, counted during one step of each.
  Nearly all of these belong to the bottom and the towers; T backward passes make about (1 + 2 T) / 3. A ratio can be
  below its floor, since every way also spends time on reading tables and stepping weights. Each round has a new random
  order of the ways. With one thread times are CPU times, with several wall-clock times.
- `--memory`: the peak memory of a process over its imports, from building the network and three steps, and its excess
  over the uniform step's. It includes weights, optimizer state and gradients; ten MB are noise.
- `--architectures`: each architecture's uniform step in milliseconds, and the exact step and the one measured at the
  features as ratios to it, with their floors. With `--memory` the peak memory of each.
- `--scaling`: the exact step by number of tasks, by batch and by table rows, with its floor.

How tables are held:

- ours: the fused kernel, Adagrad; in "plain tables", sparse gradients and the same rule;
- dense: gradients of whole tables and plain descent, the cheapest optimizer; peers know no other tables;
- rows: the batch's distinct rows are handed to the peer as small dense tables, its answer becomes sparse gradients, and
  Adagrad steps: the code that a careful user would write around the peer.

"A quarter" or "a sixteenth of the rows" and "every fourth step" are approximations of the Gram matrix; for the latter
the median shows the cheap step and the mean the cost. Those of a sixteenth average their matrices over steps. The rest
of the network has fused Adam everywhere. "bottom's Gram" leaves the tables out of the Gram matrix, so it is not exact.
The others fill the gradients of a naive float64 step (tests/benchmarks/test_step.py; for the fused kernel and for
RotoGrad tests/models).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from benchmarks.step import architectures, ways
from benchmarks.step.memory import peak
from benchmarks.step.setting import SETTINGS, Setting
from benchmarks.step.timing import Quartiles, interleaved, multiplications, ratios
from benchmarks.step.way import Step
from benchmarks.step.ways import EXACT, UNIFORM, WAYS

TASKS, BATCHES, GROWTHS = (2, 3, 8, 16), (512, 1024, 4096), (1, 10)


def main(arguments: Sequence[str] | None = None, tasks: Sequence[int] = TASKS) -> None:
    """Print one of the tables.

    Args:
        arguments: The command line.
        tasks: Numbers of tasks in the table of `--scaling`.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.scaling and (chosen.memory or chosen.architectures):
        parser.error("--scaling is a table of times, without --memory and --architectures")
    torch.set_num_threads(chosen.threads)
    setting = SETTINGS[chosen.setting].grown(chosen.grow)
    names = [name for name in WAYS if name == UNIFORM or re.search(chosen.ways, name)]
    built = [name for name in architectures.architectures(setting) if re.search(chosen.ways, name)]
    rows = f"{sum(setting.rows):,} rows of width {setting.width}"
    print(f"{chosen.setting}: {rows}, batch {setting.batch}, {setting.tasks} tasks; {chosen.threads} thread(s)")
    if chosen.memory and chosen.architectures:
        print_memory_of_architectures(built, setting, chosen.threads)
    elif chosen.memory:
        print_memory(names, setting, chosen.threads)
    elif chosen.architectures:
        print_architectures(built, setting, chosen.rounds)
    elif chosen.scaling:
        print_scaling(setting, chosen.rounds, tasks)
    else:
        print_times(names, setting, chosen.rounds)


def print_times(names: Sequence[str], setting: Setting, rounds: int) -> None:
    """A line a way."""
    steps = {name: WAYS[name].on(setting) for name in names}
    floors, taken = _floors(steps, setting), interleaved(steps, setting, rounds)
    print(f"{'':34}{'ms':>9}{'of uniform':>12}{'quartiles':>14}{'mean':>8}{'floor':>8}")
    for name, times in taken.items():
        found = ratios(times, taken[UNIFORM])
        print(f"{name:34}{median(times):9.2f}{_shown(found)}{found.mean:8.2f}{floors[name]:8.2f}")


def print_memory(names: Sequence[str], setting: Setting, threads: int) -> None:
    """A line a way."""
    uniform = peak(partial(ways.step_of, UNIFORM), setting, threads)
    print(f"{'':34}{'peak MB':>9}{'over uniform':>14}")
    for name in names:
        found = uniform if name == UNIFORM else peak(partial(ways.step_of, name), setting, threads)
        print(f"{name:34}{found:9.0f}{found - uniform:14.0f}", flush=True)


def print_memory_of_architectures(names: Sequence[str], setting: Setting, threads: int) -> None:
    """Two lines an architecture, as :func:`print_architectures`."""
    print(f"{'':46}{'uniform MB':>12}{'over uniform':>14}")
    for name in names:
        found = {way: peak(partial(architectures.step_of, name, way), setting, threads) for way in architectures.WAYS}
        uniform = found.pop(UNIFORM)
        for way, megabytes in found.items():
            what = f"{name}: {way}"
            print(f"{what:46}{uniform:12.0f}{megabytes - uniform:14.0f}", flush=True)


def print_architectures(names: Sequence[str], setting: Setting, rounds: int) -> None:
    """Two lines an architecture: its exact step, and its step measured at the features."""
    print(f"{'':46}{'uniform ms':>12}{'of uniform':>12}{'quartiles':>14}{'floor':>8}")
    for name in names:
        steps = architectures.steps(setting, name)
        floors, taken = _floors(steps, setting), interleaved(steps, setting, rounds)
        for way in steps:
            if way != UNIFORM:
                what = f"{name}: {way}"
                found = _shown(ratios(taken[way], taken[UNIFORM]))
                print(f"{what:46}{median(taken[UNIFORM]):12.2f}{found}{floors[way]:8.2f}", flush=True)


def print_scaling(setting: Setting, rounds: int, task_numbers: Sequence[int]) -> None:
    """A line a size: tasks by batches, then table rows."""
    sizes = [replace(setting, tasks=tasks, batch=batch) for tasks in task_numbers for batch in BATCHES]
    print(f"{'tasks':>5}{'batch':>7}{'rows':>13}{'uniform ms':>12}{'of uniform':>12}{'quartiles':>14}{'floor':>8}")
    for size in [*sizes, *(setting.grown(factor) for factor in GROWTHS)]:
        steps = {name: WAYS[name].on(size) for name in (UNIFORM, EXACT)}
        floors, taken = _floors(steps, size), interleaved(steps, size, rounds)
        what = f"{size.tasks:5}{size.batch:7}{sum(size.rows):13,}{median(taken[UNIFORM]):12.2f}"
        print(f"{what}{_shown(ratios(taken[EXACT], taken[UNIFORM]))}{floors[EXACT]:8.2f}", flush=True)


def _floors(steps: Mapping[str, Step], setting: Setting) -> dict[str, float]:
    """The multiplications of every step, as a ratio to those of the uniform step."""
    counted = {name: multiplications(step, setting) for name, step in steps.items()}
    return {name: count / counted[UNIFORM] for name, count in counted.items()}


def _shown(ratio: Quartiles) -> str:
    return f"{ratio.middle:12.2f}{f'{ratio.low:.2f}-{ratio.high:.2f}':>14}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=SETTINGS, nargs="?", default="census")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30, help="at least 2")
    parser.add_argument(
        "--ways", default="", help="a regular expression of ways' or architectures' names; uniform is always there"
    )
    parser.add_argument("--grow", type=int, default=1, help="times the rows of every table")
    for table in ("--architectures", "--memory", "--scaling"):
        parser.add_argument(table, action="store_true")
    return parser


if __name__ == "__main__":
    main()
