"""The points of a trade-off curve, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from math import isnan
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from pipeline.comparison.comparison import Comparison
from pipeline.comparison.confidence import Confidence
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import delta_m_pct
from pipeline.evaluation.pareto import pareto_mask
from pipeline.files.atomic import atomic
from pipeline.runs.plan import SINGLE_TASK
from pipeline.runs.run import Metrics, Run

State = Literal["complete", "pruned", "failed"]
_VERSIONS = ("gradops", "torch", "torchrec", "numpy", "polars", "mlflow", "optuna")


@dataclass(frozen=True)
class Point:
    """One point: what was chosen, and what came of it, over its seeds.

    Args:
        trial: Its place in the study.
        method: The method, as text with its options.
        params: What was chosen: options of the method, and numbers of the config by their keys.
        runs: Fingerprints of its runs, one a seed.
        val: Mean validation AUC of each task; empty if it is not complete.
        test: Mean test AUC of each task.
        val_sd: Standard deviation over the seeds; None with one.
        test_sd: The same of the test AUC.
        state: Whether it is complete; ``"pruned"`` was given up, ``"failed"`` could not be trained.
        mlflow_run_ids: Its runs in MLflow.
        curves: Mean validation AUC after each epoch, one list a seed.
        reason: Why it is not complete.
        pareto: Whether no other point beats it, by validation AUC.
    """

    trial: int
    method: str
    params: dict[str, float]
    state: State = "complete"
    runs: list[str] = field(default_factory=list)
    val: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    val_sd: dict[str, float] | None = None
    test_sd: dict[str, float] | None = None
    mlflow_run_ids: list[str] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)
    reason: str = ""
    pareto: bool = False

    @property
    def label(self) -> str:
        """Where it is in the study, its method, and what else was chosen."""
        return f"trial {self.trial}: {self.name}"

    @property
    def name(self) -> str:
        """The method, and what else was chosen."""
        numbers = [f", {key}={value:g}" for key, value in self.params.items() if f"{key}=" not in self.method]
        return self.method + "".join(numbers)

    def trained(self, runs: Sequence[Run], mlflow_run_ids: list[str]) -> Point:
        """The point with the results of its runs."""
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
            curves=[[epoch.mean_auc for epoch in run.history] for run in runs],
        )


@dataclass(frozen=True)
class Baselines:
    """What the points of a study are held against.

    Args:
        runs: Fingerprints of the runs of ``single-task`` and ``uniform``.
        val: Mean validation AUC of each task of the single-task models.
    """

    runs: dict[str, list[str]]
    val: dict[str, float]

    @classmethod
    def of(cls, comparison: Comparison) -> Baselines:
        """Of a comparison of the single-task models and uniform scaling."""
        (single, *_) = comparison.table("val")
        assert single.system == SINGLE_TASK.name
        return cls({s: [run.fingerprint for run in runs] for s, runs in comparison.systems.items()}, single.auc)

    def delta_m_pct(self, point: Point) -> float:
        """Mean relative drop of a point's validation AUC against the single-task models; lower is better."""
        return delta_m_pct(point.val, self.val)

    def shortfalls(self, point: Point, tasks: Sequence[str]) -> dict[str, float]:
        """How far a point is below the single-task models on some tasks; at most 0 where it is not."""
        return {task: self.val[task] - point.val[task] for task in tasks}


def with_pareto_front(points: Sequence[Point], baselines: Baselines, not_below: Sequence[str]) -> list[Point]:
    """The points in order, those on the front marked; one that falls short of what is asked for is on no front."""
    allowed = [
        p for p in points if p.state == "complete" and max(baselines.shortfalls(p, not_below).values(), default=0) <= 0
    ]
    front = {p.trial for p, on in zip(allowed, pareto_mask([[*p.val.values()] for p in allowed]), strict=True) if on}
    return [replace(p, pareto=p.trial in front) for p in sorted(points, key=lambda p: p.trial)]


def save(
    path: Path,
    config: RunConfig,
    prepared: Prepared,
    baselines: Baselines,
    points: Sequence[Point],
    confidence: Confidence | None = None,
) -> None:
    """Write the study's file, whole or not at all; how sure its differences are is known at its end."""
    first = config.train.seed
    content: dict[str, Any] = {"kind": "study", "name": config.search.study or config.name}
    content |= {"data": prepared.fingerprint, "config": config.model_dump(mode="json")}
    content |= {"versions": {package: version(package) for package in _VERSIONS}, "tasks": list(config.tasks)}
    content |= {"seeds": list(range(first, first + config.search.seeds)), "baselines": baselines.runs}
    content["points"] = [asdict(point) for point in points]
    if confidence is not None:
        content["intervals"] = [asdict(interval) for interval in confidence.intervals]
        content["notes"] = [f"Intervals of the points on the front: {confidence.note}."]
    with atomic(path) as draft:
        draft.write_text(json.dumps(content, indent=1))


def read(content: Mapping[str, Any]) -> Point:
    """A point as it was kept."""
    return Point(**content)


def _over_seeds(found: Sequence[Metrics]) -> tuple[dict[str, float], dict[str, float] | None]:
    """Mean and standard deviation of each task's AUC."""
    auc = {task: [metrics[task]["auc"] for metrics in found] for task in found[0]}
    several = len(found) > 1
    return {t: mean(v) for t, v in auc.items()}, {t: stdev(v) for t, v in auc.items()} if several else None
