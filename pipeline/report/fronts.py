"""The fronts of a search's families of methods: a chart for each pair of tasks, and a table of their hypervolumes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import combinations

import plotly.graph_objects as go

from pipeline.comparison.fronts import Front, family_of
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile
from pipeline.evaluation.pareto import pareto_mask
from pipeline.report.charts import hover
from pipeline.report.results import Result
from pipeline.report.splits import SPLITS, with_splits
from pipeline.report.style import colours
from pipeline.report.tables import Table


def fronts(result: Result) -> dict[str, go.Figure]:
    """A chart for each pair of tasks; none for a search of one family, or of before they were compared."""
    found = result.file.fronts if isinstance(result.file, StudyFile) else None
    if found is None:
        return {}
    return {f"{x} and {y}": _pair(result, found.fronts, x, y) for x, y in combinations(result.tasks, 2)}


def table(result: Result) -> Table | None:
    """The hypervolume of each family's front and the differences of every two; None as for :func:`fronts`."""
    found = result.file.fronts if isinstance(result.file, StudyFile) else None
    if found is None:
        return None
    rows = [
        [f.family, _figure(f.hypervolume, f.low, f.high), f"{f.undominated}", f"{len(f.labels)}", f"{f.points}"]
        for f in found.fronts
    ]
    rows += [
        [f"{d.family} less {d.against}", _figure(d.delta, d.low, d.high, sign="+"), "", "", ""]
        for d in found.differences
    ]
    # The figure that is read first stands first: on a phone the table is moved to see the last ones.
    return Table("Hypervolumes", found.note, ["family", "hypervolume", "undominated", "on its front", "points"], rows)


def _pair(result: Result, families: Sequence[Front], x: str, y: str) -> go.Figure:
    figure = go.Figure()
    for split in SPLITS:
        for colour, front in zip(colours(len(families)), families, strict=True):
            points = [p for p in result.complete if not p.is_baseline and family_of(p) == front.family]
            points.sort(key=lambda point: point.label not in front.labels)  # the front first: its mark is the legend's
            figure.add_scatter(
                x=[getattr(point, split)[x] for point in points],
                y=[getattr(point, split)[y] for point in points],
                hovertext=[hover(point) for point in points],
                hoverinfo="text",
                name=escape(f"{front.family}, {front.hypervolume:.5f}"),
                legendgroup=front.family,
                mode="markers",
                marker={
                    "symbol": ["circle" if point.label in front.labels else "circle-open" for point in points],
                    "size": [12 if point.label in front.labels else 7 for point in points],
                    "color": colour,
                    "line": {"width": 1.5},
                },
                visible=split == "test",
            )
            edge_x, edge_y = _edge([p for p in points if p.label in front.labels], split, x, y)
            figure.add_scatter(
                x=edge_x,
                y=edge_y,
                legendgroup=front.family,
                showlegend=False,
                hoverinfo="skip",
                mode="lines",
                line={"color": colour, "shape": "vh", "width": 1.5},
                visible=split == "test",
            )
    return with_splits(figure, x, y)


def _edge(front: Sequence[Point], split: str, x: str, y: str) -> tuple[tuple[float, ...], ...]:
    """The corners of a front, as far as these two tasks show it, from the best on ``y`` to the best on ``x``."""
    both = [(getattr(point, split)[x], getattr(point, split)[y]) for point in front]
    corners = sorted({one for one, is_optimal in zip(both, pareto_mask(both), strict=True) if is_optimal})
    return tuple(zip(*corners, strict=True))


def _figure(value: float, low: float | None, high: float | None, sign: str = "") -> str:
    ends = "" if low is None or high is None else f" [{low:{sign}.5f}, {high:{sign}.5f}]"
    return f"{value:{sign}.5f}{ends}"
