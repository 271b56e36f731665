"""The plain tables of a report: rows and labels, further metrics, and the cost of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipeline.comparison.point import Point
from pipeline.comparison.serving_cost import ROWS
from pipeline.data.notes import noted_features
from pipeline.evaluation.catalogue import METRICS
from pipeline.report.results import Result
from pipeline.runs.run import Run

_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Table:
    """A table, with a sentence below its title."""

    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]


def labels(result: Result) -> Table | None:
    """Rows of each split, and positives of each task among them; None for results of before they were kept."""
    file = result.file
    columns = ["split", "rows", *file.tasks]
    rows = [
        [name, f"{file.rows[split]:,}", *(_share(*_counts(result, split, task)) for task in file.tasks)]
        for split, name in _SPLITS.items()
        if split in file.rows
    ]
    return (
        Table("Rows and positives", "positives of each task, and their share of the known labels", columns, rows)
        if rows
        else None
    )


def features(result: Result) -> Table | None:
    """The features of which little is known, the worst first; None if there are none, or it was not counted."""
    found = result.file.features
    rows = [[name, *(_known(found[name].get(split)) for split in _SPLITS)] for name in noted_features(found)]
    note = "rows without a value, and rows whose values are not in the training rows' vocabulary; up to 20 features"
    columns = ["feature", *_SPLITS.values()]
    return Table("Features of which little is known", note, columns, rows[:20]) if rows else None


def every_feature(result: Result) -> Table | None:
    """The unknown and the unseen rows of every feature in each split; None if they were not counted."""
    found = result.file.features
    rows = [[name, *(_known(of_splits.get(split)) for split in _SPLITS)] for name, of_splits in found.items()]
    return (
        Table("All features", "rows without a value, and rows of unseen values", ["feature", *_SPLITS.values()], rows)
        if rows
        else None
    )


def _known(part: Mapping[str, int] | None) -> str:
    if part is None:
        return "-"
    shares = {kind: part[kind] / part["rows"] for kind in ("unknown", "unseen") if part[kind]}
    return ", ".join(f"{share:.1%} {kind}" for kind, share in shares.items()) or "all known"


def metrics(result: Result) -> list[Table]:
    """A table for each further metric of the test rows; none for results of before they were kept."""
    found = result.file.metrics.get("test", {})
    tables = []
    for metric in METRICS:
        rows = [
            [system, *(_figure(of_tasks.get(task, {}).get(metric.name)) for task in result.tasks)]
            for system, of_tasks in found.items()
            if metric.is_reported and any(metric.name in of_task for of_task in of_tasks.values())
        ]
        tables += [Table(metric.title, metric.note, ["system", *result.tasks], rows)] if rows else []
    return tables


def calibration(result: Result) -> list[Table]:
    """Log loss and calibration error of the test rows without and with the calibrators; of calibrated runs alone."""
    tables = []
    for name, title in (("logloss", "Log loss"), ("calibration_error", "Calibration error")):
        rows = [
            [point.label, *(_before_and_after(runs, task, name) for task in result.tasks)]
            for point in result.complete
            if (runs := [run for run in result.runs(point) if run.uncalibrated])
        ]
        note = "of the network alone → with its calibrators, which were fitted to validation rows"
        tables += [Table(f"{title}, calibrated", note, ["system", *result.tasks], rows)] if rows else []
    return tables


def _before_and_after(runs: Sequence[Run], task: str, metric: str) -> str:
    found = [run for run in runs if task in run.tasks]
    if not found:
        return "-"
    before, after = (
        fmean(metrics[task][metric] for metrics in split)
        for split in ([run.uncalibrated["test"] for run in found], [run.test for run in found])
    )
    return f"{before:.4f} → {after:.4f}"


def cost(result: Result) -> Table | None:
    """The training time of each point, from its runs on this disk; None if none are left."""
    seeds = max(1, len(result.seeds))
    rows = [row for point in result.complete if (row := _cost(result, point, seeds)) is not None]
    note = "of one seed, without evaluation; single-task models are added up"
    return (
        Table("Cost of training", note, ["system", "seconds", "epochs", "steps", "ms a step"], rows) if rows else None
    )


def serving(result: Result) -> Table | None:
    """What each registered model costs to serve; None for results of before it was measured."""
    rows = [
        [system, f"{cost.ms_row:.3g}", f"{cost.ms_500_rows:.3g}", f"{cost.megabytes:.3g}"]
        for system, cost in result.file.serving.items()
    ]
    note = "milliseconds of a request, encoding included, where the models were registered, and the size of their files"
    columns = ["system", "ms a row", f"ms for {ROWS} rows", "MB"]
    return Table("Cost of serving", note, columns, rows) if rows else None


def _cost(result: Result, point: Point, seeds: int) -> list[str] | None:
    runs = [run for run in result.runs(point) if run.history]
    if not runs:
        return None
    seconds = sum(epoch.seconds for run in runs for epoch in run.history)
    steps = sum(run.history[-1].step for run in runs)
    epochs = fmean(len(run.history) for run in runs)

    per_step = f"{1000 * seconds / steps:.1f}" if steps else "-"
    return [point.label, f"{seconds / seeds:,.1f}", f"{epochs:g}", f"{steps / seeds:,.0f}", per_step]


def _counts(result: Result, split: str, task: str) -> tuple[int, int]:
    found = result.file.labels[split][task]
    return found.positives, found.known


def _share(positives: int, known: int) -> str:
    return f"{positives:,} ({positives / known:.2%})" if known else "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
