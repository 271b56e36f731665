"""The charts and the page of an explanation: what each column is worth to each task, and partial dependence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from pipeline.explanation.explanation import Explanation, Worth
from pipeline.explanation.summary import summary
from pipeline.report.page import chart, write_page
from pipeline.report.style import COLOURS, colours, styled
from pipeline.report.tables import Table

_MOST_BARS = 20
_LONGEST = 28  # letters of a name beside a bar; hovering shows all of it


@dataclass(frozen=True)
class Worths:
    """What a page shows of an explanation.

    Args:
        explanation: The explanation.
        summary: Sentences.
        bars: Task to its chart.
        dependences: Column to its chart.
        tables: Tables of all units.
    """

    explanation: Explanation
    summary: list[str]
    bars: dict[str, str]
    dependences: dict[str, str]
    tables: list[Table]

    @classmethod
    def of(cls, explanation: Explanation) -> Worths:
        """The charts and tables of an explanation."""
        bars = {task: chart(_bars(explanation, task), f"worth-{i}") for i, task in enumerate(explanation.auc)}
        curves = [chart(dependence(explanation, i), f"dependence-{i}") for i in range(len(explanation.curves))]
        named = dict(zip((curve.column for curve in explanation.curves), curves, strict=True))
        return cls(explanation, summary(explanation), bars, named, tables(explanation))


def write_explanation(explanation: Explanation, target: Path) -> None:
    """Write the page of an explanation."""
    write_page("explanation.html", target, worths=Worths.of(explanation))


def _bars(explanation: Explanation, task: str) -> go.Figure:
    """A bar for each column, the largest drops above, those of the groups below them in another colour."""
    figure = go.Figure()
    columns = _first(explanation.of_kind("column"), task, _MOST_BARS)
    groups = _first(explanation.of_kind("group"), task, _MOST_BARS // 4)
    for name, colour, shown in (("columns", COLOURS[0], columns), ("groups", COLOURS[4], groups)):
        drops = [worth.drops[task] for worth in shown]
        figure.add_bar(
            x=[drop.delta for drop in drops],
            y=[_short(worth) for worth in shown],
            error_x={
                "array": [drop.high - drop.delta for drop in drops],
                "arrayminus": [drop.delta - drop.low for drop in drops],
                "thickness": 1,
                "color": "#888888",  # seen on light and on dark
            },
            hovertext=[_hover(worth, task) for worth in shown],
            hoverinfo="text",
            orientation="h",
            marker_color=colour,
            name=name,
            showlegend=bool(groups),
        )
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(title_text="drop of the AUC", tickformat="~g", nticks=5)
    return styled(figure, 130 + 22 * (len(columns) + len(groups)))


def _first(worths: Sequence[Worth], task: str, most: int) -> list[Worth]:
    return sorted(worths, key=lambda worth: -worth.drops[task].delta)[:most]


def _short(worth: Worth) -> str:
    name = worth.name if len(worth.name) <= _LONGEST else f"{worth.name[: _LONGEST - 1]}\u2026"
    return escape(name)


def _hover(worth: Worth, task: str) -> str:
    drop, readers = worth.drops[task], ", ".join(worth.features)
    found = f"{drop.delta:.5f} [{drop.low:.5f}, {drop.high:.5f}]"
    reason = [worth.reason] if worth.reason else []
    return "<br>".join(map(escape, [worth.name, found, f"features {readers}", *reason]))


def dependence(explanation: Explanation, place: int) -> go.Figure:
    """The partial dependence of every task on one column; the mean without a value is a dashed line."""
    curve, figure = explanation.curves[place], go.Figure()
    for colour, (task, mean) in zip(colours(len(curve.means)), curve.means.items(), strict=True):
        figure.add_scatter(x=curve.values, y=mean, mode="lines+markers", name=escape(task), line={"color": colour})
        if curve.missing is not None:
            figure.add_hline(y=curve.missing[task], line={"color": colour, "width": 1, "dash": "dash"})
    figure.update_xaxes(title_text=escape(curve.column), tickformat="~g", nticks=6)
    figure.update_yaxes(title_text="mean probability", tickformat="~g", rangemode="tozero")
    return styled(figure, 320)


def tables(explanation: Explanation) -> list[Table]:
    """A table of the columns, one of features that share columns with others, and one of groups; none that is empty."""
    titles = {
        "column": ("Columns", "permuted as raw rows have them, so that every feature that reads them changes"),
        "feature": ("Features that share their columns", "only the feature's own input permuted, the columns left"),
        "group": ("Columns that go together", "permuted together: what they are worth when none makes up for another"),
    }
    found = ((title, note, explanation.of_kind(kind)) for kind, (title, note) in titles.items())  # type: ignore[arg-type]
    return [_table(explanation, title, note, worths) for title, note, worths in found if worths]


def _table(explanation: Explanation, title: str, note: str, worths: Sequence[Worth]) -> Table:
    tasks = [*explanation.auc]
    rows = [[w.name, *(_drop(w, task) for task in tasks), ", ".join(w.features), w.reason] for w in worths]
    is_reasoned = any(worth.reason for worth in worths)
    columns = ["name", *tasks, "features", *(["why together"] if is_reasoned else [])]
    return Table(title, note, columns, rows if is_reasoned else [row[:-1] for row in rows])


def _drop(worth: Worth, task: str) -> str:
    drop = worth.drops[task]
    return f"{drop.delta:+.4f} [{drop.low:+.4f}, {drop.high:+.4f}]"
