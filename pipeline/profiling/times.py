"""Columns with times: dates, datetimes, their ISO texts and numbers since 1970; and the time of a row's own event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from features.transforms import Unit, is_unlikely_time, timestamp
from pipeline.files import parquet
from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import Column
from pipeline.profiling.column_names import is_time, own_time_rank
from pipeline.profiling.log import Log
from pipeline.profiling.notation import has_written_times

_UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns")
# Least share of known values that have to be times: a log has a few sentinels.
_MOSTLY = 0.95
_LATER = 0.01
_WEEK, _YEAR = timedelta(days=7), timedelta(days=366)


@dataclass(frozen=True, eq=False)
class Times:
    """A column with times.

    Args:
        column: The column.
        unit: The unit of numbers since 1970.
        moments: The moments of the sample's rows, in UTC.
    """

    column: Column
    unit: Unit | None
    moments: pl.Series

    @property
    def can_split(self) -> bool:
        """Whether a split by time can read it: texts it cannot."""
        return self.column.kind != pl.String

    @cached_property
    def ends(self) -> tuple[datetime, datetime]:
        """The first and the last moment."""
        first, last = self.moments.min(), self.moments.max()
        assert isinstance(first, datetime), "a column of times has times"
        assert isinstance(last, datetime), "a column of times has times"
        return first, last

    @property
    def span(self) -> timedelta:
        """The time from the first to the last."""
        return self.ends[1] - self.ends[0]

    @property
    def is_dates(self) -> bool:
        """Whether all are at midnight."""
        known = self.moments.drop_nulls()
        return bool((known.dt.truncate("1d") == known).all())

    @property
    def range(self) -> str:
        """The first and the last moment in words."""
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in self.ends)
        return f"{first} to {last}"


def find_times(columns: Sequence[Column]) -> dict[str, Times]:
    """The columns with times."""
    return {c.name: found for c in columns if (found := _times(c)) is not None}


def own_times(times: dict[str, Times], log: Log) -> list[str]:
    """The columns that may be the time of a row's event, known in every row, the likeliest first."""
    able = [name for name, one in times.items() if one.can_split and not one.moments.null_count() and one.span]
    whole = [name for name in able if log.is_whole or not _nulls(log, name)]
    return sorted(whole, key=lambda n: (own_time_rank(n), -times[n].column.distinct, n))


def time_features(times: Times, own: Times | None, training: timedelta) -> Choices:
    """The features of a column with times.

    Args:
        times: The column.
        own: The time of the row's own event; None if no column has it.
        training: The time that the training rows span.
    """
    if own is not None and times is not own:
        return _since(times, own)
    unit = {} if times.unit is None else {"unit": times.unit}
    found = []
    if not times.is_dates and training >= timedelta(days=1):
        found.append(("hour", f"hours of the day, {times.range}"))
    if training >= _WEEK:
        found.append(("weekday", "training rows have every day of the week"))
    if training >= _YEAR:
        found.append(("month", "training rows have every month"))
    features = tuple(
        Feature(times.column.name, {"kind": "time", "part": part, **unit}, why, part) for part, why in found
    )
    if features:
        return Choices(features)
    why = f"{times.range}: training rows span {_span(training)}, less than a day, so hours of the day tell nothing"
    return Choices((), (Excluded(times.column.name, why),))


def _since(times: Times, own: Times) -> Choices:
    """The hours from another moment to the row's own; none if the other one comes later: nobody knew it then."""
    name = times.column.name
    later = (times.moments > own.moments).sum() / max(len(times.moments.drop_nulls()), 1)
    if later > _LATER:
        why = f"later than `{own.column.name}` in {later:.0%} of its rows: it was written after the row's event"
        return Choices((), (Excluded(name, why, look=True),))
    if times.unit != own.unit:
        return Choices((), (Excluded(name, f"a time in another unit than `{own.column.name}`: cast one of the two"),))
    keys = {"kind": "numeric", "until": own.column.name, "log1p": True}
    keys |= {} if times.unit is None else {"unit": times.unit}
    return Choices((Feature(name, keys, f"hours from it to `{own.column.name}`; never later", "hours"),))


def _span(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"


def _times(column: Column) -> Times | None:
    kind, frame = column.kind, column.values.to_frame()
    if has_written_times(column):
        return None  # digits such as 20260131 would be read as seconds since 1970
    found: Times | None = None
    if kind in (pl.Date, pl.Datetime):
        found = Times(column, None, _utc(frame, column, None))
    elif kind == pl.String:
        found = Times(column, None, _utc(frame, column, None)) if _are_iso(column) else None
    elif kind.is_numeric() and not kind.is_decimal() and is_time(column.name) and (unit := _unit(column)) is not None:
        found = Times(column, unit, _utc(frame, column, unit))
    return found if found is not None and found.moments.drop_nulls().len() else None


def _utc(frame: pl.DataFrame, column: Column, unit: Unit | None) -> pl.Series:
    moments = frame.select(timestamp(column.name, column.kind, unit)).to_series()
    is_zoned = isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone
    return moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if is_zoned else moments


def _are_iso(column: Column) -> bool:
    """Whether texts are ISO times: a few are looked at first, since most columns of text are none."""
    for some in (column.known.head(20), column.known):
        read = some.to_frame().select(timestamp(column.name, pl.String())).to_series()
        if not len(some) or read.count() < _MOSTLY * len(some):
            return False
    return True


def _unit(column: Column) -> Unit | None:
    """The unit in which almost all numbers are times of the usual years."""
    known = column.known.to_frame()
    for unit in _UNITS:
        likely = known.select(~is_unlikely_time(pl.col(column.name), unit)).to_series()
        if len(likely) and likely.sum() >= _MOSTLY * len(likely):
            return unit
    return None


def _nulls(log: Log, column: str) -> int:
    """The number of rows without a value, of all files."""
    return sum(
        parquet.collect(path, rows.select(pl.col(column).null_count())).item() for path, rows in log.every([column])
    )
