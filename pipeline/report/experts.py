"""The charts of a report over the use of experts: the share that each gate gives each expert, and its entropy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.report import courses
from pipeline.report.results import Result
from pipeline.report.style import styled, titled
from pipeline.runs.run import Run

_PREFIX, _ENTROPY, _EXPERT = "gate.", ".entropy", ".expert"
_MOST_SYSTEMS = 8

Shares = Mapping[str, Sequence[float]]


def shares(result: Result) -> go.Figure | None:
    """The mean share that each gate gives each expert, a panel a system; None for networks without experts.

    Each panel is of one run: experts have no order, so that those of two seeds have nothing in common.
    """
    found = {line: _shares(runs[0]) for line, runs in courses.of_several(result).items()}
    panels = {line: of_run for line, of_run in found.items() if of_run}
    if not panels:
        return None
    shown = dict(list(panels.items())[:_MOST_SYSTEMS])
    figure = make_subplots(rows=len(shown), cols=1, subplot_titles=[titled(line) for line in shown])
    for row, of_run in enumerate(shown.values(), 1):
        figure.add_trace(_map(of_run), row=row, col=1)
        figure.update_yaxes(autorange="reversed", row=row, col=1)
    if len(panels) > len(shown):
        figure.update_layout(title={"text": f"the first {len(shown)} of {len(panels)} systems", "font": {"size": 12}})
    return styled(figure, 60 + sum(90 + 28 * len(of_run) for of_run in shown.values()))


def entropies(result: Result) -> go.Figure | None:
    """The mean entropy of each gate's shares over the steps, as a mean over seeds, a panel a gate."""
    found = {line: (runs, _shares(runs[0])) for line, runs in courses.of_several(result).items()}
    lines = {line: runs for line, (runs, of_run) in found.items() if of_run}
    numbers: dict[str, set[int]] = {}
    for gate, of_gate in ((gate, of_gate) for _, of_run in found.values() for gate, of_gate in of_run.items()):
        numbers.setdefault(gate, set()).add(len(of_gate))
    panels = {
        f"{gate} (evenly mixed: {_even(numbers[gate])})": {
            line: courses.course(runs, f"{_PREFIX}{gate}{_ENTROPY}") for line, runs in lines.items()
        }
        for gate in numbers
    }
    figure = courses.drawn(panels, "lines") if panels else None
    return figure and figure.update_yaxes(rangemode="tozero")


def _even(numbers: Iterable[int]) -> str:
    """The entropy of equal shares, for each number of experts that some system has."""
    return ", ".join(f"{math.log(number):.2f} for {number} experts" for number in sorted(numbers))


def _map(of_run: Shares) -> go.Heatmap:
    """A row a gate, a column an expert."""
    most = max(len(of_gate) for of_gate in of_run.values())
    rows = [[*of_gate, *[None] * (most - len(of_gate))] for of_gate in of_run.values()]
    return go.Heatmap(
        z=rows,
        x=[f"expert {i}" for i in range(most)],
        y=[escape(gate) for gate in of_run],
        text=[["" if share is None else f"{share:.2f}" for share in row] for row in rows],
        texttemplate="%{text}",
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        colorscale="Blues",
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=2,
        ygap=2,
    )


def _shares(run: Run) -> dict[str, list[float]]:
    """Each gate's mean shares, over the last epoch, up to the kept one, that has some."""
    epochs = [list(epoch.diagnostics.values()) for epoch in run.history if epoch.number <= run.best_epoch]
    recorded = [[report for report in epoch if any(name.startswith(_PREFIX) for name in report)] for epoch in epochs]
    last = next((epoch for epoch in reversed(recorded) if epoch), [])
    found: dict[str, list[float]] = {}
    for name in last[0] if last else ():
        gate, is_share, _ = name.removeprefix(_PREFIX).rpartition(_EXPERT)
        if name.startswith(_PREFIX) and is_share:
            found.setdefault(gate, []).append(fmean(report[name] for report in last))
    return found
