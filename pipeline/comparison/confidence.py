"""Confidence intervals of the differences between systems, from their runs' scores of the test rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.comparison.scores import TestRows, scores_of
from pipeline.evaluation.intervals import LEVEL, Difference, Estimate, intervals
from pipeline.runs.run import Run

BETTER, WORSE = "▲", "▼"


@dataclass(frozen=True)
class Interval:
    """A system's difference in test AUC from another system.

    Args:
        system: The system.
        against: The system that it is compared with.
        task: The task; None for the mean over the tasks.
        delta: The difference, a mean over the seeds.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    system: str
    against: str
    task: str | None
    delta: float
    low: float
    high: float

    @property
    def mark(self) -> str:
        """``▲`` if the whole interval is above 0, ``▼`` if it is below 0, else empty."""
        return BETTER if self.low > 0 else WORSE if self.high < 0 else ""

    def __str__(self) -> str:
        return f"{self.delta:+.4f} [{self.low:+.4f}, {self.high:+.4f}]{self.mark}"


@dataclass(frozen=True)
class Confidence:
    """Simultaneous intervals of every system against each baseline.

    Args:
        intervals: For each baseline and each other system, an interval for each task and for the mean over the tasks.
        note: A sentence on the coverage of the intervals.
    """

    intervals: list[Interval]
    note: str

    def against(self, baseline: str) -> dict[tuple[str, str | None], Interval]:
        """The intervals against one baseline, by system and task."""
        return {(i.system, i.task): i for i in self.intervals if i.against == baseline}


def confidence(
    tasks: Sequence[str], rows: TestRows, systems: Mapping[str, Sequence[Run]], baselines: Sequence[str]
) -> Confidence:
    """Intervals from the scores of the test rows; runs without kept scores are scored first.

    Args:
        tasks: The tasks of each system.
        rows: The test rows.
        systems: System to its runs. A system with a single seed, where others have several, counts as constant over
            the seeds.
        baselines: The systems that all others are compared with.
    """
    names = list(systems)
    seeds = sorted({run.seed for runs in systems.values() for run in runs})
    scores = scores_by_seed(tasks, rows, systems, seeds)
    estimate = Estimate.of(rows.labels(tasks), scores, rows.unit_N, rows.share)
    found = []
    for against, baseline in ((names.index(baseline), baseline) for baseline in baselines):
        others = [system for system in range(len(names)) if system != against]
        wanted = [Difference(system, against, task) for system in others for task in (*range(len(tasks)), None)]
        for difference, ends in zip(wanted, intervals(estimate, wanted).T.tolist(), strict=True):
            task = None if difference.task is None else tasks[difference.task]
            found.append(Interval(names[difference.system], baseline, task, *ends))
    return Confidence([i for i in found if not math.isnan(i.delta)], _note(rows, len(seeds)))


def scores_by_seed(
    tasks: Sequence[str], rows: TestRows, systems: Mapping[str, Sequence[Run]], seeds: Sequence[int]
) -> Iterator[npt.NDArray[np.float32]]:
    """Each seed's scores: rows x systems and tasks.

    Args:
        tasks: The tasks of each system.
        rows: The test rows.
        systems: System to its runs.
        seeds: The seeds; a system without one of them counts there with its first run.
    """
    for seed in seeds:
        columns = []
        for runs in systems.values():
            # A later run replaces an earlier one: the seed's own run if there is one, else that of the first seed.
            by_task = {task: run for run in runs if run.seed in (runs[0].seed, seed) for task in run.tasks}
            held = {run.fingerprint: scores_of(run, rows) for run in by_task.values()}
            columns += [held[by_task[t].fingerprint][:, by_task[t].tasks.index(t)] for t in tasks]
        yield np.stack(columns, axis=1)


def _note(rows: TestRows, seeds: int) -> str:
    drawn = "the groups of `spec.group`" if rows.unit_N is not None else "test rows"
    of_seeds = f" and {seeds} seeds" if seeds > 1 else ""
    words = f"simultaneous {100 * LEVEL:.0f} % intervals over {drawn}{of_seeds}"
    if seeds == 1:
        words += "; with one seed they cover these models only, not retraining"
    if rows.step > 1:
        words += f"; widths estimated from a sample of {len(rows):,} of {rows.total:,} rows"
    return words
