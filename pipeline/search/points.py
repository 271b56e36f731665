"""The points of a study: their baselines, the Pareto-optimal ones among them, and their result file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from pipeline.comparison.comparison import Comparison
from pipeline.comparison.findings import labels_of
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile, now
from pipeline.comparison.verdicts import verdicts
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import delta_m_pct
from pipeline.evaluation.pareto import pareto_mask
from pipeline.runs.plan import SINGLE_TASK

_VERSIONS = ("gradops", "torch", "torchrec", "numpy", "polars", "mlflow", "optuna")


@dataclass(frozen=True)
class Baselines:
    """The systems that the points of a study are compared with.

    Args:
        runs: System (``single-task`` and ``uniform``) to the fingerprints of its runs.
        val: Mean validation AUC of the single-task models, for each task.
    """

    runs: dict[str, list[str]]
    val: dict[str, float]

    @classmethod
    def of(cls, comparison: Comparison) -> Baselines:
        """The baselines from a comparison of the single-task models and uniform scaling."""
        (single, *_) = comparison.table("val")
        assert single.system == SINGLE_TASK.name
        return cls({s: [run.fingerprint for run in runs] for s, runs in comparison.systems.items()}, single.auc)

    def delta_m_pct(self, point: Point) -> float:
        """Mean relative drop of a point's validation AUC against the single-task models; lower is better."""
        return delta_m_pct(point.val, self.val)

    def shortfalls(self, point: Point, tasks: Sequence[str]) -> dict[str, float]:
        """Validation AUC that a point lacks to reach the single-task models, by task; 0 or less if it reaches them."""
        return {task: self.val[task] - point.val[task] for task in tasks}


def with_pareto_front(points: Sequence[Point], baselines: Baselines, not_below: Sequence[str]) -> list[Point]:
    """The points in order of their trials, with the Pareto-optimal ones marked.

    Args:
        points: Finished points.
        baselines: The baselines that points are compared with.
        not_below: Tasks on which a point has to reach the single-task models to be marked.
    """
    allowed = [
        p for p in points if p.state == "complete" and max(baselines.shortfalls(p, not_below).values(), default=0) <= 0
    ]
    optimal = {p.trial for p, on in zip(allowed, pareto_mask([[*p.val.values()] for p in allowed]), strict=True) if on}
    return [replace(p, pareto=p.trial in optimal) for p in sorted(points, key=lambda p: p.trial or 0)]


def study_file(
    config: RunConfig,
    prepared: Prepared,
    baselines: Baselines,
    points: Sequence[Point],
    *,
    fingerprint: str,
    found: Comparison | None = None,
) -> StudyFile:
    """The study's results.

    Args:
        config: The search's config.
        prepared: The data.
        baselines: The systems that points are compared with.
        points: The finished points.
        fingerprint: The study's fingerprint.
        found: Baselines and Pareto-optimal points as a comparison, known at the end of the search: the file then has
            its intervals and metrics.
    """
    first = config.train.seed
    file = StudyFile(
        kind="study",
        name=config.search.study or config.name,
        data=prepared.fingerprint,
        config=config.model_dump(mode="json"),
        versions={package: version(package) for package in _VERSIONS},
        tasks=list(config.tasks),
        seeds=list(range(first, first + config.search.seeds)),
        fingerprint=fingerprint,
        made_at=now(),
        rows=prepared.rows,
        labels=labels_of(prepared, config.tasks),
        features=prepared.features,
        baselines=baselines.runs,
        points=list(points),
    )
    if found is None:
        return file
    note = f"Intervals of the Pareto-optimal points: {found.confidence.note}."
    known = {"intervals": found.confidence.intervals, "notes": [note], "metrics": found.findings.metrics}
    return file.model_copy(update=known | {"verdicts": verdicts(found.findings)})
