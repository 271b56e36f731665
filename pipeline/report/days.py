"""How a report's data move: rows, positives and drift by day, from the prepared data where they are at hand.

The day of a prepared part is that of its raw file's path. Rows of a log without such paths are compared by split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from pydantic import ValidationError

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.drift import Drift, Positives, TrainingRows, positives
from pipeline.data.prepared import Prepared
from pipeline.files import parquet
from pipeline.report.results import Result
from pipeline.report.style import colours, styled
from pipeline.runtime.progress import Progress, Silent
from pipeline.validation.raw_data import find_raw_files

_TRAINING_ROWS, _ROWS = 200_000, 20_000  # of the training rows, and of each day, that are compared
_MOST_DAYS, _MOST_FEATURES = 30, 25
_NAMES = {"val": "validation", "test": "test"}
_STRONG = 0.25  # an index from which on a feature has drifted, by common rule


@dataclass(frozen=True)
class Day:
    """The rows of a day, or of a split.

    Args:
        rows: Their number.
        positives: Task to its positives.
        drifts: The drift of each feature from the training rows.
    """

    rows: int
    positives: Mapping[str, Positives]
    drifts: Sequence[Drift]


def days(result: Result, progress: Progress = Silent()) -> dict[str, Day]:
    """The days of a result's prepared data, or its validation and test rows; empty if the data are not at hand.

    At most the newest :data:`_MOST_DAYS` days; every n-th row of large ones.

    Args:
        result: The result.
        progress: Shows the days.
    """
    prepared = _prepared(result)
    if prepared is None:
        return {}
    spec = prepared.encoder().spec
    parts = _parts_by_day(result, prepared) or _parts_by_split(prepared)
    training = TrainingRows(_sampled([*(prepared.folder / "train").glob("*.parquet")], _TRAINING_ROWS), spec)
    names = [name for name, feature in spec.features.items() if feature.is_comparable_by_day]
    found = {}
    newest = list(parts.items())[-_MOST_DAYS:]
    for label, paths in progress.each("comparing days with the training rows", newest, len(newest)):
        rows, whole = _sampled(paths, _ROWS), parquet.scan_all(paths)
        drifts = [drift for drift in training.drifts(rows) if drift.feature in names]
        found[label] = Day(sum(map(parquet.count_rows, paths)), positives(whole, result.tasks), drifts)
    return found


def _prepared(result: Result) -> Prepared | None:
    folder = result.made["config"].get("data", {}).get("prepared")
    return None if folder is None else Prepared.find(Path(folder) / result.file.data)


def _sampled(paths: Sequence[Path], most: int) -> pl.LazyFrame:
    paths = sorted(paths)
    step = max(1, -(-sum(map(parquet.count_rows, paths)) // most))
    return parquet.scan_all(paths).gather_every(step)


def _parts_by_day(result: Result, prepared: Prepared) -> dict[str, list[Path]]:
    """Day to the parts with its rows; empty if the raw files are not at hand, have changed, or are of no day."""
    try:
        config = RunConfig.model_validate(result.made["config"])
        sources = find_raw_files(config)
    except (ValidationError, InputError):
        return {}
    found: dict[str, list[Path]] = {}
    for role, table in sources.items():
        if len(table.files) != len(prepared.manifest["sources"].get(role, ())):
            return {}
        for number, path in enumerate(table.files):
            day = config.data.days.of(path)
            if day is None:
                return {}
            parts = prepared.folder.glob(f"*/part-{role}-{number:05}-*.parquet")
            found.setdefault(str(day), []).extend(parts)
    return {day: found[day] for day in sorted(found) if found[day]}


def _parts_by_split(prepared: Prepared) -> dict[str, list[Path]]:
    found = {name: [*(prepared.folder / split).glob("*.parquet")] for split, name in _NAMES.items()}
    return {name: paths for name, paths in found.items() if paths}


def drift(found: Mapping[str, Day]) -> go.Figure | None:
    """A map of the features that drift most, by day; None without any."""
    sizes = {
        d.feature: max(_of(day, d.feature) for day in found.values()) for day in found.values() for d in day.drifts
    }
    names = sorted(sizes, key=lambda name: -sizes[name])[:_MOST_FEATURES]
    if not names:
        return None
    figure = go.Figure()
    figure.add_heatmap(
        z=[[_of(day, name) for day in found.values()] for name in names],
        x=[f"{label} " for label in found],  # a space: Plotly would read days as a time axis
        y=[escape(name) for name in names],
        zmin=0,
        zmax=2 * _STRONG,
        # Up to 0.1 there is no drift, from 0.25 on, the middle of the scale, there is.
        colorscale=[[0, "#dde3ec"], [0.2, "#b9cbe3"], [0.5, "#ee7733"], [1, "#cc3311"]],
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    return styled(figure, 140 + 22 * len(names))


def _of(day: Day, feature: str) -> float:
    # Rounded: sums of groups come in any order, and a page is the same whenever it is made.
    return round(next((one.size for one in day.drifts if one.feature == feature), 0.0), 4)


def shares(found: Mapping[str, Day], tasks: Sequence[str]) -> go.Figure | None:
    """The share of positives of each task by day; None for fewer than three days."""
    if len(found) < 3:
        return None
    figure = go.Figure()
    for colour, task in zip(colours(len(tasks)), tasks, strict=True):
        figure.add_scatter(
            x=[f"{label} " for label in found],
            y=[day.positives[task].share for day in found.values()],
            hovertext=[f"{day.rows:,} rows, {day.positives[task].count:,} positives" for day in found.values()],
            name=escape(task),
            mode="lines+markers",
            line={"color": colour},
        )
    figure.update_yaxes(tickformat="~%", rangemode="tozero", title_text="share of positives")
    return styled(figure, 320)
