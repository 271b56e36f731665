"""The charts of a report: trade-offs, gains against alpha, and diagnostics over the training steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.comparison.point import Point
from pipeline.evaluation.intervals import Floats
from pipeline.report.results import Result
from pipeline.runs.plan import UNIFORM
from pipeline.runs.run import Run

COLOURS = ("#3366aa", "#cc3311", "#228833", "#aa3377", "#ee7733", "#009988", "#997700", "#555555")
_MOST_LINES = len(COLOURS)
_MOST_STEPS = 200
_SPLITS = {"test": "test", "val": "validation"}
_KINDS = {
    "Pareto front": {"symbol": "circle", "size": 12, "color": COLOURS[0]},
    "others": {"symbol": "circle-open", "size": 10, "color": COLOURS[0]},
    "baselines": {"symbol": "diamond", "size": 11, "color": COLOURS[1]},
}


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
        for colour, task in zip(_colours(len(result.tasks)), result.tasks, strict=True):
            base, spread = getattr(uniform[0], split)[task], [_spread(point, split) for point in points]
            figure.add_scatter(
                x=[point.alpha for point in points],
                y=[getattr(point, split)[task] - base for point in points],
                error_y={"array": [s[task] for s in spread if s], "visible": all(spread), "thickness": 1},
                hovertext=[_hover(point) for point in points],
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
    return _styled(figure, 560)


def weights(result: Result) -> go.Figure | None:
    """The weight of each task's gradient, over the steps (GradOPS, figure 7)."""
    return _traces(result, {task: f"weight.{task}" for task in result.tasks}, lambda run: len(run.tasks) > 1)


def conflicts(result: Result) -> go.Figure | None:
    """The share of pairs of tasks whose gradients point away from each other, over the steps."""
    return _traces(result, {"share of task pairs in conflict": "conflict_rate"}, lambda run: len(run.tasks) > 1)


def _pair(result: Result, x: str, y: str) -> go.Figure:
    figure = go.Figure()
    for split in _SPLITS:
        for kind, marker in _KINDS.items():
            points = [point for point in result.complete if _kind(point) == kind and {x, y} <= point.val.keys()]
            spread = [_spread(point, split) for point in points]
            figure.add_scatter(
                x=[getattr(point, split)[x] for point in points],
                y=[getattr(point, split)[y] for point in points],
                error_x={"array": [s[x] if s else 0 for s in spread], "visible": any(spread), "thickness": 1},
                error_y={"array": [s[y] if s else 0 for s in spread], "visible": any(spread), "thickness": 1},
                hovertext=[_hover(point) for point in points],
                hoverinfo="text",
                name=kind,
                mode="markers",
                marker=marker,
                visible=split == "test",
            )
    buttons = [
        {
            "label": f"{name} AUC",
            "method": "restyle",
            "args": ["visible", [shown == split for shown in _SPLITS for _ in _KINDS]],
        }
        for split, name in _SPLITS.items()
    ]
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 0,
                "xanchor": "left",
                "y": 1.03,
                "yanchor": "bottom",
            }
        ]
    )
    figure.update_xaxes(title_text=f"AUC of {escape(x)}", tickformat=".5f", nticks=4)
    figure.update_yaxes(title_text=f"AUC of {escape(y)}", tickformat=".5f", nticks=7)
    return _styled(figure, 420)


def _traces(result: Result, names: Mapping[str, str], wanted: Callable[[Run], bool]) -> go.Figure | None:
    """A panel for each name, with a line for each point: the diagnostic over the steps, averaged over the runs."""
    figure = make_subplots(rows=len(names), shared_xaxes=True, subplot_titles=[escape(n) for n in names])
    shown = [p for p in result.complete if p.pareto or p.method == UNIFORM.name or result.kind == "comparison"]
    runs = {point.label: [run for run in result.runs(point) if wanted(run)] for point in shown}
    lines = [name for name, found in runs.items() if found][:_MOST_LINES]
    for row, name in enumerate(names.values(), 1):
        for colour, line in zip(_colours(len(lines)), lines, strict=True):
            step_S, value_S = _course(runs[line], name)
            label = {"name": escape(line), "legendgroup": line, "showlegend": row == 1}
            figure.add_scatter(x=step_S, y=value_S, mode="lines", line={"color": colour}, row=row, col=1, **label)
    figure.update_xaxes(title_text="step", row=len(names))
    return _styled(figure, 180 + 180 * len(names)) if lines else None


def _course(runs: Sequence[Run], name: str) -> tuple[Floats, Floats]:
    """Steps, and means over the runs; above a number of steps, neighbouring ones are averaged."""
    found: dict[int, list[float]] = {}
    for epoch in (epoch for run in runs for epoch in run.history):
        for step, report in epoch.diagnostics.items():
            if name in report:
                found.setdefault(step, []).append(report[name])
    steps = sorted(found)
    pieces = np.array_split(np.arange(len(steps)), min(len(steps), _MOST_STEPS) or 1)
    step_S = [float(np.mean([steps[i] for i in piece])) for piece in pieces if len(piece)]
    value_S = [float(np.mean([v for i in piece for v in found[steps[i]]])) for piece in pieces if len(piece)]
    return np.array(step_S), np.array(value_S)


def _hover(point: Point) -> str:
    """A point's name, AUCs and runs as text for Plotly, which knows a few HTML tags; names are escaped."""
    aucs = [f"{task}: test {auc:.4f}, validation {point.val[task]:.4f}" for task, auc in point.test.items()]
    shown = ", ".join(point.runs[:3]) + (f" and {len(point.runs) - 3} more" if len(point.runs) > 3 else "")
    return "<br>".join(map(escape, [point.label, *aucs, f"run {shown}"]))


def _kind(point: Point) -> str:
    return "baselines" if point.is_baseline else "Pareto front" if point.pareto else "others"


def _spread(point: Point, split: str) -> dict[str, float] | None:
    return point.test_sd if split == "test" else point.val_sd


def _colours(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]


def _styled(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 10, "t": 50, "b": 10},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        font={"size": 12},
        hoverlabel={"align": "left"},
    )
