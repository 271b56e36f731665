"""One HTML file that shows a comparison or a study to a person, on any screen and without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from pipeline.comparison.confidence import BETTER, Interval
from pipeline.files.atomic import atomic
from pipeline.report import charts
from pipeline.report.results import Point, Result
from pipeline.runs.plan import REFERENCES, UNIFORM

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Line:
    """A line below a figure: a difference and its interval."""

    text: str
    verdict: str


@dataclass(frozen=True)
class Cell:
    """A figure of the table, and what stands below it."""

    text: str
    beside: tuple[Line, ...] = ()


@dataclass(frozen=True)
class TableRow:
    """A row of the table."""

    name: str
    chosen: bool
    cells: list[Cell]


def write(result: Result, target: Path) -> None:
    """Write the report.

    Every name in it may be anybody's text: the page escapes what it shows, and so do the charts.

    Args:
        result: What to show.
        target: The HTML file.
    """
    pairs = {name: _html(figure, f"pair-{i}") for i, (name, figure) in enumerate(charts.trade_offs(result).items())}
    figures = {"gains": charts.gains(result), "weights": charts.weights(result), "conflicts": charts.conflicts(result)}
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE.read_text())
    html = page.render(
        result=result,
        plotly=get_plotlyjs(),
        pairs=pairs,
        columns=_columns(result),
        rows=[_row(result, point) for point in result.points],
        notes=_notes(result),
        config=json.dumps(result.made["config"], indent=1),
        **{name: figure and _html(figure, name) for name, figure in figures.items()},
    )
    with atomic(target) as draft:
        draft.write_text(html)


def _html(figure: go.Figure, name: str) -> str:
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    html: str = figure.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    return html


def _columns(result: Result) -> list[str]:
    beside = ["Δm% (drop)", "Mean Rank"] if result.rows else []
    return ["trial" if result.kind == "study" else "system", *result.tasks, "average", *beside]


def _row(result: Result, point: Point) -> TableRow:
    if point.state != "complete":
        return TableRow(point.name, False, [Cell(point.state)] + [Cell("")] * len(result.tasks))
    spread = point.test_sd or {}
    cells = [
        Cell(_figure(point.test.get(task), spread.get(task)), _differences(result, point, task))
        for task in result.tasks
    ]
    cells.append(Cell(_figure(mean(point.test.values()), None), _differences(result, point, None)))
    if point.name in result.rows:
        row = result.rows[point.name]
        rank = "-" if row["mean_rank"] is None else f"{row['mean_rank']:.2f}"
        cells += [Cell(f"{row['delta_m_pct']:+.2f}"), Cell(rank)]
    return TableRow(point.name, point.chosen, cells)


def _figure(auc: float | None, spread: float | None) -> str:
    if auc is None:
        return "-"
    return f"{auc:.4f}" if spread is None else f"{auc:.4f} ± {spread:.4f}"


def _differences(result: Result, point: Point, task: str | None) -> tuple[Line, ...]:
    """Against uniform, or what else there is, in one line each."""
    found = (result.confidence.against(baseline.name).get((point.name, task)) for baseline in REFERENCES)
    return tuple(_line(interval) for interval in found if interval is not None)


def _line(interval: Interval) -> Line:
    verdict = "" if not interval.mark else "better" if interval.mark == BETTER else "worse"
    short = "u" if interval.against == UNIFORM.name else "s"
    text = f"{short} {interval.delta:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]{interval.mark}"
    return Line(text, verdict or "same")


def _notes(result: Result) -> list[str]:
    own = ["● is on the front by validation AUC. All figures are of the test rows."]
    if result.confidence.intervals:
        own.append("u is the difference from uniform, s that from single-task, each with its interval.")
    else:
        own.append("No intervals: the study is not finished, or was finished before they were kept; search again.")
    return [*own, *result.notes]
