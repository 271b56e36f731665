"""A point of a trade-off chart: a system of a comparison, or a trial of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from statistics import mean, stdev
from typing import Literal

from gradops.methods import parse
from pipeline.evaluation.selection import Selection
from pipeline.runs.plan import System
from pipeline.runs.run import Metrics, Run

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Point:
    """One trade-off with its results over the seeds.

    Args:
        trial: Number of the trial in its study; None for a system of a comparison, and for a baseline of a study.
        method: The method, as text with its options; for a baseline that is no method, the system's name.
        params: Values that the trial chose: options of the method, numbers of the config by their keys, and names of
            alternatives under a preset, where they differ from the config as it is written.
        state: ``"complete"``, ``"pruned"`` (given up early) or ``"failed"`` (training was impossible).
        runs: Fingerprints of its runs.
        val: Mean validation AUC of each task; empty if the point is not complete.
        test: Mean test AUC of each task.
        val_sd: Standard deviation of the validation AUC over the seeds; None with one seed.
        test_sd: The same of the test AUC.
        mlflow_run_ids: Its runs in MLflow.
        selected: Validation metric that ``train.select_by`` names, mean over the seeds; None for points of before it.
        curves: The same metric after each epoch, one list a seed.
        reason: The reason why the point is not complete; empty if it is.
        pareto: Whether the point is Pareto-optimal, by validation AUC.
        course: The course of the rate within which runs of a preset are compared after an epoch; else empty.
    """

    trial: int | None
    method: str
    params: dict[str, float | str]
    state: State = "complete"
    runs: list[str] = field(default_factory=list)
    val: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    val_sd: dict[str, float] | None = None
    test_sd: dict[str, float] | None = None
    mlflow_run_ids: list[str] = field(default_factory=list)
    selected: float | None = None
    curves: list[list[float]] = field(default_factory=list)
    reason: str = ""
    pareto: bool = False
    course: str = ""

    @property
    def label(self) -> str:
        """The point's name, unique within a comparison or a study."""
        return self.name if self.trial is None else f"trial {self.trial}: {self.name}"

    @property
    def name(self) -> str:
        """The method, followed by the chosen numbers of the config."""
        numbers = [f", {key}={shown(value)}" for key, value in self.params.items() if f"{key}=" not in self.method]
        return self.method + "".join(numbers)

    @property
    def is_baseline(self) -> bool:
        """Whether other points are compared with it."""
        return self.trial is None and System.named(self.method).is_baseline

    @property
    def family(self) -> str:
        """The method's name, without its options."""
        return self.method.partition("(")[0].strip()

    @property
    def alpha(self) -> float | None:
        """The method's option ``alpha``; None if the method has no such option."""
        for name, value in self.params.items():
            if name.rpartition(".")[2] == "alpha":
                return float(value)
        try:
            alpha = getattr(parse(self.method), "alpha", None)
        except ValueError:  # a baseline that is no method
            return None
        return None if alpha is None else float(alpha)

    def with_runs(self, runs: Sequence[Run], mlflow_run_ids: list[str], selection: Selection) -> Point:
        """The point, completed with the results of its runs, one a seed, and the metric that chose their epochs."""
        (val, val_sd), (test, test_sd) = (_over_seeds([getattr(r, split) for r in runs]) for split in ("val", "test"))
        undefined = [task for task, auc in val.items() if isnan(auc)]
        return replace(
            self,
            state="failed" if undefined else "complete",
            reason=f"no AUC of {', '.join(undefined)}: labels of one class only" if undefined else "",
            runs=[run.fingerprint for run in runs],
            val={} if undefined else val,
            test={} if undefined else test,
            val_sd=val_sd,
            test_sd=test_sd,
            mlflow_run_ids=mlflow_run_ids,
            selected=mean(selection.value(run.val) for run in runs),
            curves=[[selection.value(epoch.val) for epoch in run.history] for run in runs],
        )


def shown(value: float | str) -> str:
    """A chosen value for people."""
    return value if isinstance(value, str) else f"{value:g}"


def _over_seeds(found: Sequence[Metrics]) -> tuple[dict[str, float], dict[str, float] | None]:
    """Mean and standard deviation of each task's AUC."""
    auc = {task: [metrics[task]["auc"] for metrics in found] for task in found[0]}
    several = len(found) > 1
    return {t: mean(v) for t, v in auc.items()}, {t: stdev(v) for t, v in auc.items()} if several else None
