"""The figures of a comparison or a search that its verdicts are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean

from pipeline.comparison.confidence import Interval
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import SINGLE_TASK, UNIFORM, Split, System
from pipeline.runs.run import Metrics, Run


@dataclass(frozen=True)
class Labels:
    """The labels of one task in one split.

    Args:
        known: Number of rows whose label is known.
        positives: Number of those with label 1.
    """

    known: int
    positives: int

    @property
    def rarer(self) -> int:
        """Number of rows of the rarer class, which limits what can be known of an AUC."""
        return min(self.positives, self.known - self.positives)


def labels_of(prepared: Prepared, tasks: Sequence[str]) -> dict[str, dict[str, Labels]]:
    """Split to the labels of each task."""
    splits = {split: found["tasks"] for split, found in prepared.manifest["splits"].items()}
    return {s: {t: Labels(found[t]["known"], found[t]["positives"]) for t in tasks} for s, found in splits.items()}


@dataclass(frozen=True)
class Findings:
    """What was found of each system; the order of the systems is that of the table.

    Args:
        tasks: Names of the tasks.
        metrics: Split to system to the metrics of each task, means over the seeds.
        intervals: Intervals of differences in test AUC against the baselines.
        labels: Split to the labels of each task.
        runs: System to its runs.
        chosen: The method to take, where it is chosen already; empty to choose it from the figures.
    """

    tasks: Sequence[str]
    metrics: dict[str, dict[str, Metrics]]
    intervals: Sequence[Interval]
    labels: dict[str, dict[str, Labels]]
    runs: Mapping[str, Sequence[Run]]
    chosen: str = ""

    @property
    def methods(self) -> list[str]:
        """The systems that are one network for all tasks."""
        return [name for name in self.metrics["test"] if System.named(name).kind == "method"]

    def average(self, system: str, split: Split) -> float:
        """Mean AUC over the tasks."""
        return fmean(self.metrics[split][system][task]["auc"] for task in self.tasks)

    def against(self, system: str, baseline: System, task: str | None) -> Interval | None:
        """The interval of a system's difference from a baseline; None for no such interval."""
        wanted = (system, baseline.name, task)
        return next((i for i in self.intervals if (i.system, i.against, i.task) == wanted), None)

    @property
    def choice(self) -> str:
        """The method to take.

        If none is chosen already, it is the best by validation AUC of those that are better than ``uniform`` on the
        test rows beyond noise. If there are none it is ``uniform``, which costs least; in a comparison without it, the
        best by validation AUC.
        """
        if self.chosen:
            return self.chosen
        better = [s for s in self.methods if (i := self.against(s, UNIFORM, None)) is not None and i.low > 0]
        plain = [UNIFORM.name] if UNIFORM.name in self.methods else self.methods
        return max(better or plain, key=lambda system: self.average(system, "val"))


def mean_metrics(runs: Mapping[str, Sequence[Run]], split: Split) -> dict[str, Metrics]:
    """Each system's metrics of each task, as means over its runs; without those that are no number in every run."""
    return {system: _means([getattr(run, split) for run in of_system]) for system, of_system in runs.items()}


def _means(found: Sequence[Metrics]) -> Metrics:
    values: dict[str, dict[str, list[float]]] = {}
    for task, name, value in ((t, n, v) for metrics in found for t, named in metrics.items() for n, v in named.items()):
        values.setdefault(task, {}).setdefault(name, []).append(value)
    return {task: {name: fmean(v) for name, v in named.items()} for task, named in values.items()}


def worse_than_single(findings: Findings, system: str, task: str | None) -> Interval | None:
    """The interval of a system that is below the single-task models by more than noise; else None."""
    found = findings.against(system, SINGLE_TASK, task)
    return None if found is None or isnan(found.high) or found.high >= 0 else found
