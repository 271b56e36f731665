"""Paired intervals over seeds: of a task's AUC and of the mean over the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from benchmarks.trial.records import Record

LEVEL = 0.95
Floats = npt.NDArray[np.float64]
Runs = Mapping[int, Sequence[Record]]


@dataclass(frozen=True)
class Interval:
    """A difference of two systems.

    Args:
        mean: Its mean over the seeds.
        half: Half the length of its interval; NaN with fewer than two seeds.
    """

    mean: float
    half: float

    @property
    def mark(self) -> str:
        """▲ or ▼ where the interval is above or below 0."""
        return "▲" if self.mean - self.half > 0 else "▼" if self.mean + self.half < 0 else ""

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.mean - self.half:+.4f}, {self.mean + self.half:+.4f}]{self.mark}"


def aucs(runs: Runs) -> Floats:
    """The test AUCs, seeds x tasks; those of separate models are put together."""
    return np.array([[value for record in runs[seed] for value in record.test] for seed in sorted(runs)])


def difference(one: Runs, other: Runs, task: int | None = None) -> Interval:
    """The difference in test AUC of a task, or of the mean over the tasks, over the seeds that both have.

    The interval is Student's over the seeds' differences. Where rows are the same for every seed, it also has the part
    of the test rows, from the blocks of rows in which the two systems differ.
    """
    seeds = sorted({*one} & {*other})
    if len(seeds) < 2:
        return Interval(float("nan"), float("nan"))
    pair = [aucs({seed: runs[seed] for seed in seeds}) for runs in (one, other)]
    each_S = (pair[0] - pair[1]).mean(axis=1) if task is None else (pair[0] - pair[1])[:, task]
    variance = float(each_S.var(ddof=1)) / len(seeds)
    variance += _of_rows([_blocks(runs, seeds, task) for runs in (one, other)])
    return Interval(float(each_S.mean()), float(stdtrit(len(seeds) - 1, (1 + LEVEL) / 2)) * variance**0.5)


def better(one: Runs, other: Runs) -> bool:
    """Whether the mean over the tasks is above the other's, beyond its interval."""
    return difference(one, other).mark == "▲"


def _blocks(runs: Runs, seeds: Sequence[int], task: int | None) -> Floats:
    """The deviations of a task's AUC, or of the mean, by block of rows, averaged over the seeds.

    They are empty where rows are drawn anew for each seed.
    """
    block_STB = np.array([[blocks for record in runs[seed] for blocks in record.blocks] for seed in seeds]) / 1e6
    if block_STB.size == 0:
        return np.zeros(0)
    block_TB: Floats = block_STB.mean(axis=0)
    result: Floats = block_TB.mean(axis=0) if task is None else block_TB[task]
    return result


def _of_rows(pair: Sequence[Floats]) -> float:
    """The variance of a difference over test rows."""
    if not len(pair[0]) or len(pair[0]) != len(pair[1]):
        return 0.0
    by_block = pair[0] - pair[1]
    return float((by_block**2).sum() * len(by_block) / (len(by_block) - 1))
