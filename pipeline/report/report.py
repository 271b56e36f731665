"""The report: one HTML file of a comparison or a study, for any screen, readable offline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from pipeline.comparison.confidence import BETTER, Interval
from pipeline.comparison.point import Point
from pipeline.comparison.summary import summary
from pipeline.explanation.explanation import newest_explanation
from pipeline.report import charts, courses, days, experts, fronts, tables
from pipeline.report.chosen import chosen
from pipeline.report.page import chart, write_page
from pipeline.report.results import Result
from pipeline.report.worths import Worths
from pipeline.runs.plan import REFERENCES, UNIFORM
from pipeline.runtime.progress import Progress, Silent


@dataclass(frozen=True)
class DifferenceLine:
    """A difference and its interval, shown below a figure."""

    text: str
    verdict: str


@dataclass(frozen=True)
class Cell:
    """A figure of the table, with its differences below."""

    text: str
    differences: tuple[DifferenceLine, ...] = ()


@dataclass(frozen=True)
class TableRow:
    """A row of the table."""

    name: str
    is_pareto: bool
    cells: list[Cell]


def write_report(result: Result, target: Path, progress: Progress = Silent()) -> None:
    """Write the report.

    Names may come from anywhere: the page and its charts escape them.

    Args:
        result: The results to show.
        target: The HTML file.
        progress: Shows what takes long.
    """
    pairs = {name: chart(figure, f"pair-{i}") for i, (name, figure) in enumerate(charts.trade_offs(result).items())}
    families = {name: chart(figure, f"front-{i}") for i, (name, figure) in enumerate(fronts.fronts(result).items())}
    lead, verdicts = summary(result.file), result.file.verdicts
    name = result.made["config"].get("name", result.name)  # a study may have a name of its own
    explanation = newest_explanation(result.path.parent.parent, name, result.made["data"])
    found = days.days(result, progress)
    figures = {
        "gains": charts.gains(result),
        "curves": courses.curves(result),
        "weights": courses.weights(result),
        "conflicts": courses.conflicts(result),
        "shares": experts.shares(result),
        "entropies": experts.entropies(result),
        "drift": days.drift(found),
        "shares_by_day": days.shares(found, result.tasks),
    }
    write_page(
        "report.html",
        target,
        result=result,
        lead=lead or verdicts[:1],
        verdicts=verdicts if lead else verdicts[1:],
        pairs=pairs,
        families=families,
        hypervolumes=fronts.table(result),
        columns=_columns(result),
        rows=[_row(result, point) for point in result.points],
        notes=_notes(result),
        chosen=chosen(result),
        labels=tables.labels(result),
        features=tables.features(result),
        every_feature=tables.every_feature(result),
        metrics=tables.metrics(result) + tables.calibration(result),
        cost=tables.cost(result),
        serving=tables.serving(result),
        worths=explanation and Worths.of(explanation),
        config=json.dumps(result.made["config"], indent=1),
        **{name: figure and chart(figure, name) for name, figure in figures.items()},
    )


def _columns(result: Result) -> list[str]:
    """What is read first stands first: on a narrow screen the table is moved to see the last columns."""
    figures = ["Mean Rank", "Δm% (drop)"] if result.rows else []
    return ["trial" if result.kind == "study" else "system", *figures, "average", *result.tasks]


def _row(result: Result, point: Point) -> TableRow:
    if point.state != "complete":
        return TableRow(point.label, False, [Cell(point.state)] + [Cell("")] * len(result.tasks))
    spread = point.test_sd or {}
    cells = []
    if (row := result.rows.get(point.label)) is not None:
        rank = "-" if row.mean_rank is None else f"{row.mean_rank:.2f}"
        cells += [Cell(rank), Cell(f"{row.delta_m_pct:+.2f}")]
    cells.append(Cell(_figure(mean(point.test.values()), None), _differences(result, point, None)))
    cells += [
        Cell(_figure(point.test.get(task), spread.get(task)), _differences(result, point, task))
        for task in result.tasks
    ]
    return TableRow(point.label, point.pareto, cells)


def _figure(auc: float | None, spread: float | None) -> str:
    if auc is None:
        return "-"
    return f"{auc:.4f}" if spread is None else f"{auc:.4f} ± {spread:.4f}"


def _differences(result: Result, point: Point, task: str | None) -> tuple[DifferenceLine, ...]:
    """The differences from the baselines, in one line each."""
    found = (result.confidence.against(baseline.name).get((point.label, task)) for baseline in REFERENCES)
    return tuple(_line(interval) for interval in found if interval is not None)


def _line(interval: Interval) -> DifferenceLine:
    verdict = "" if not interval.mark else "better" if interval.mark == BETTER else "worse"
    short = "u" if interval.against == UNIFORM.name else "s"
    return DifferenceLine(f"{short} {interval}", verdict or "same")


def _notes(result: Result) -> list[str]:
    own = ["●: Pareto-optimal by validation AUC. All figures are of the test rows."]
    if result.confidence.intervals:
        own.append("u: difference from `uniform`; s: difference from `single-task`; each with its interval.")
    else:
        own.append(
            "No intervals: the study is unfinished, or was made by a version without them; run `gradops search` again."
        )
    return [*own, *result.notes]
