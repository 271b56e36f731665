"""The charts of a report over its points: trade-offs between tasks, and gains against alpha."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import combinations
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.comparison.point import Point
from pipeline.report.results import Result
from pipeline.report.splits import SPLITS, with_splits
from pipeline.report.style import COLOURS, colours, styled
from pipeline.runs.plan import BOOSTING, SINGLE_TASK, UNIFORM

_MARKS = {SINGLE_TASK.name: "diamond", UNIFORM.name: "square", BOOSTING.name: "star"}
_KINDS = ["Pareto front", "others", *_MARKS]


def trade_offs(result: Result) -> dict[str, go.Figure]:
    """A chart for each pair of tasks; hovering shows a point's name and runs, and buttons choose the split."""
    return {f"{x} and {y}": _pair(result, x, y) for x, y in combinations(result.tasks, 2)}


def gains(result: Result) -> go.Figure | None:
    """The gain in AUC over the uniform model, plotted against alpha, a line a task (GradOPS, figure 8).

    One panel is for validation and one for test; the paper shows the training rows in place of validation. None
    without two points of one method that differ in alpha, or without a uniform model.
    """
    uniform = [point for point in result.complete if point.method == UNIFORM.name]
    families: dict[str, list[Point]] = {}
    for point in result.complete:
        if point.alpha is not None and not point.is_baseline:
            families.setdefault(point.family, []).append(point)
    largest = max(families.values(), key=lambda found: len(found), default=[])
    points = sorted(largest, key=lambda point: (point.alpha, point.label))
    if len({point.alpha for point in points}) < 2 or not uniform:
        return None
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=("validation", "test"))
    for row, split in enumerate(("val", "test"), 1):
        for colour, task in zip(colours(len(result.tasks)), result.tasks, strict=True):
            base, spread = getattr(uniform[0], split)[task], [_spread(point, split) for point in points]
            figure.add_scatter(
                x=[point.alpha for point in points],
                y=[getattr(point, split)[task] - base for point in points],
                error_y={"array": [s[task] for s in spread if s], "visible": all(spread), "thickness": 1},
                hovertext=[hover(point) for point in points],
                name=escape(task),
                legendgroup=task,
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": colour},
                row=row,
                col=1,
            )
        figure.add_hline(y=0, line={"color": "#999999", "width": 1}, row=row, col=1)
    figure.update_xaxes(title_text=f"alpha of {escape(points[0].family)}", row=2)
    figure.update_yaxes(title_text="gain in AUC", tickformat="+.4f")
    return styled(figure, 560)


def _pair(result: Result, x: str, y: str) -> go.Figure:
    figure = go.Figure()
    shown = [point for point in result.complete if {x, y} <= point.val.keys()]
    kinds = {
        kind: [p for p in shown if _kind(p) == kind] for kind in sorted({_kind(p) for p in shown}, key=_KINDS.index)
    }
    for split in SPLITS:
        for kind, points in kinds.items():
            spread = [_spread(point, split) for point in points]
            figure.add_scatter(
                x=[getattr(point, split)[x] for point in points],
                y=[getattr(point, split)[y] for point in points],
                error_x={"array": [s[x] if s else 0 for s in spread], "visible": any(spread), "thickness": 1},
                error_y={"array": [s[y] if s else 0 for s in spread], "visible": any(spread), "thickness": 1},
                hovertext=[hover(point) for point in points],
                hoverinfo="text",
                name=kind,
                mode="markers",
                marker=_marker(kind, points),
                visible=split == "test",
            )
    return with_splits(figure, x, y)


def hover(point: Point) -> str:
    """A point's name, AUCs and runs as text for Plotly, which knows a few HTML tags; names are escaped."""
    aucs = [f"{task}: test {auc:.4f}, validation {point.val[task]:.4f}" for task, auc in point.test.items()]
    shown = ", ".join(point.runs[:3]) + (f" and {len(point.runs) - 3} more" if len(point.runs) > 3 else "")
    return "<br>".join(map(escape, [point.label, *aucs, f"run {shown}"]))


def _kind(point: Point) -> str:
    return point.method if point.is_baseline else "Pareto front" if point.pareto else "others"


def _marker(kind: str, points: Sequence[Point]) -> dict[str, Any]:
    """Each baseline has a mark of its own; filled marks are Pareto-optimal."""
    symbols = [_MARKS.get(kind, "circle") + ("" if point.pareto else "-open") for point in points]
    colour = COLOURS[1 + list(_MARKS).index(kind)] if kind in _MARKS else COLOURS[0]
    return {"symbol": symbols, "size": 12, "color": colour, "line": {"width": 2}}


def _spread(point: Point, split: str) -> dict[str, float] | None:
    return point.test_sd if split == "test" else point.val_sd
