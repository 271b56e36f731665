"""The charts of a report over the training steps: validation AUC, weights of the tasks, and conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.evaluation.intervals import Floats
from pipeline.report.results import Result
from pipeline.report.style import COLOURS, colours, styled, titled
from pipeline.runs.plan import UNIFORM
from pipeline.runs.run import Run

_MOST_LINES = len(COLOURS)
_MOST_STEPS = 200
_CUT = 10  # times the median: values beyond are drawn at the edge, or one of them would flatten all others

Course = tuple[Floats, Floats]
Courses = Mapping[str, Mapping[str, Course]]


def curves(result: Result) -> go.Figure | None:
    """The validation AUC of each task after each epoch."""
    panels = {task: {line: _learnt(runs, task) for line, runs in _runs(result).items()} for task in result.tasks}
    return drawn(panels, "lines+markers")


def weights(result: Result) -> go.Figure | None:
    """The weight of each task's gradient (GradOPS, figure 7); values far beyond the others are cut, with a mark."""
    runs = of_several(result)
    panels = {task: {line: course(found, f"weight.{task}") for line, found in runs.items()} for task in result.tasks}
    return drawn(panels, "lines", _limit(panels))


def conflicts(result: Result) -> go.Figure | None:
    """The share of pairs of tasks whose gradients point away from each other."""
    lines = {line: course(found, "conflict_rate") for line, found in of_several(result).items()}
    return drawn({"share of task pairs in conflict": lines}, "lines")


def _runs(result: Result) -> dict[str, list[Run]]:
    """The runs, still on this disk, of the points that are drawn: all of a comparison, the best of a study."""
    shown = [p for p in result.complete if p.pareto or p.method == UNIFORM.name or result.kind == "comparison"]
    found = {point.label: [run for run in result.runs(point) if run.history] for point in shown}
    return {label: runs for label, runs in found.items() if runs}


def of_several(result: Result) -> dict[str, list[Run]]:
    """The runs of systems that train several tasks together, by system, as far as they are on this disk and drawn."""
    return {label: runs for label, runs in _runs(result).items() if len(runs[0].tasks) > 1}


def drawn(panels: Courses, mode: str, limit: float | None = None) -> go.Figure | None:
    """A panel for each name, with a line for each system."""
    lines = list(next(iter(panels.values())))
    if not lines:
        return None
    cut = "" if limit is None else f" (beyond {limit:.3g}: \u25b2 at the edge)"
    titles = [titled(name, cut) for name in panels]
    figure = make_subplots(rows=len(panels), shared_xaxes=True, subplot_titles=titles)
    for row, courses in enumerate(panels.values(), 1):
        for colour, line in zip(colours(_MOST_LINES), lines, strict=False):
            look: dict[str, Any] = {"line": {"color": colour}, "legendgroup": line, "row": row, "col": 1}
            step_S, value_S = courses[line]
            drawn_S = value_S if limit is None else value_S.clip(-limit, limit)
            figure.add_scatter(x=step_S, y=drawn_S, mode=mode, name=escape(line), showlegend=row == 1, **look)
            if (beyond_S := drawn_S != value_S).any():
                _mark(figure, step_S[beyond_S], drawn_S[beyond_S], value_S[beyond_S], look)
    if len(lines) > _MOST_LINES:
        figure.update_layout(title={"text": f"the first {_MOST_LINES} of {len(lines)} systems", "font": {"size": 12}})
    figure.update_xaxes(title_text="step", row=len(panels))
    return styled(figure, 180 + 180 * len(panels))


def _mark(figure: go.Figure, step_S: Floats, drawn_S: Floats, value_S: Floats, look: dict[str, Any]) -> None:
    """Marks at the edge in place of values beyond it; hovering shows the values."""
    figure.add_scatter(
        x=step_S,
        y=drawn_S,
        mode="markers",
        marker={"symbol": "triangle-up", "size": 11, "color": look["line"]["color"]},
        hovertext=[f"{value:.3g}" for value in value_S],
        showlegend=False,
        **look,
    )


def _limit(panels: Courses) -> float | None:
    """The value beyond which a chart is cut; None where no value is that far from the others."""
    values = [value_S for courses in panels.values() for _, value_S in courses.values() if len(value_S)]
    sizes = np.abs(np.concatenate(values)) if values else np.zeros(1)
    limit = _CUT * max(1.0, float(np.median(sizes)))
    return limit if sizes.max() > 2 * limit else None


def _learnt(runs: Sequence[Run], task: str) -> Course:
    """Steps at the end of epochs, and the mean validation AUC over the runs that train a task."""
    found: dict[int, list[float]] = {}
    for epoch in (epoch for run in runs if task in run.tasks for epoch in run.history):
        found.setdefault(epoch.step, []).append(epoch.val[task]["auc"])
    steps = sorted(found)
    return np.array(steps, float), np.array([np.mean(found[step]) for step in steps])


def course(runs: Sequence[Run], name: str) -> Course:
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
