"""The beginnings of validation and test where a split by time gives their shares of the rows.

They are order statistics of the times, found exactly and in the memory of one histogram: each pass over the one column
narrows the stretch of time that holds the wanted row to one bin, until a bin is an instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import InputError
from pipeline.config.split import SplitConfig
from pipeline.files import parquet
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor

_BINS = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)

Counts = npt.NDArray[np.int64]


def with_moments(
    split: SplitConfig, kind: pl.DataType, paths: Sequence[Path], executor: Executor = LOCAL_EXECUTOR
) -> SplitConfig:
    """The split with moments in place of shares; a split by key, or one that has moments, as it is.

    Args:
        split: The split.
        kind: The type that the column of all files is read as.
        paths: Files of all rows, in which every row has a time.
        executor: Reads the times.

    Raises:
        InputError: If so many rows share an instant that validation or the training rows would be empty.
    """
    if split.time is None or not split.has_shares:
        return split
    low, high, rows = _extent(split, kind, paths, executor)
    shares = split.shares
    firsts = [round(rows * (1 - shares["val"] - shares["test"])), round(rows * (1 - shares["test"]))]
    validation, test = (_nth(split, kind, paths, executor, low, high, first) for first in firsts)
    if not low < validation < test:
        rule = "rows of one instant stay together: give other shares, or the moments"
        begin = (
            f"validation would begin at {_moment(validation)} and test at {_moment(test)}, the log at {_moment(low)}"
        )
        raise InputError(f"`{split.time}` cannot be split by these shares: {begin}; {rule}")
    return split.model_copy(update={"validation": _moment(validation), "test": _moment(test)})


def extent(split: SplitConfig, kind: pl.DataType, paths: Sequence[Path], executor: Executor = LOCAL_EXECUTOR) -> str:
    """A sentence about the first and the last moment of the log; empty for a split by key."""
    if split.time is None:
        return ""
    low, high, _ = _extent(split, kind, paths, executor)
    return f"`{split.time}` is from {_moment(low)} to {_moment(high)}, in UTC"


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _extent(split: SplitConfig, kind: pl.DataType, paths: Sequence[Path], executor: Executor) -> tuple[int, int, int]:
    """The first and the last time, in microseconds since 1970, and the number of rows with a time."""
    found = [part for part in executor.map(partial(_extent_of, split, kind), paths) if part is not None]
    if not found:
        raise InputError(f"no row has a `{split.time}`: there is nothing to split")
    lows, highs, rows = zip(*found, strict=True)
    return min(lows), max(highs), sum(rows)


def _extent_of(split: SplitConfig, kind: pl.DataType, path: Path) -> tuple[int, int, int] | None:
    time = pl.col("time")
    ends = _times(split, kind, path).select(low=time.min(), high=time.max(), rows=time.count())
    low, high, rows = parquet.collect(path, ends).row(0)
    return (low, high, rows) if rows else None


def _nth(
    split: SplitConfig, kind: pl.DataType, paths: Sequence[Path], executor: Executor, low: int, high: int, nth: int
) -> int:
    """The time of the row that is number ``nth`` from 0 when rows are in the order of their times."""
    while high > low:
        width = (high - low) // _BINS + 1
        counts = sum(executor.map(partial(_histogram, split, kind, low, width), paths), start=np.zeros(_BINS, np.int64))
        place = int(np.searchsorted(counts.cumsum(), nth, side="right"))
        nth -= int(counts[:place].sum())
        low, high = low + place * width, min(low + (place + 1) * width - 1, high)
    return low


def _histogram(split: SplitConfig, kind: pl.DataType, low: int, width: int, path: Path) -> Counts:
    """The number of rows in each of the bins of this width from ``low`` on."""
    place = (pl.col("time") - low) // width
    inside = _times(split, kind, path).select(place=place).filter(pl.col("place").is_between(0, _BINS - 1))
    found = parquet.collect(path, inside.group_by("place").len())
    counts = np.zeros(_BINS, np.int64)
    counts[found.get_column("place").to_numpy()] = found.get_column("len").to_numpy()
    return counts


def _times(split: SplitConfig, kind: pl.DataType, path: Path) -> pl.LazyFrame:
    """The time of each row in microseconds since 1970."""
    rows = parquet.scan_as(path, pl.Schema({split.column: kind}))
    return rows.select(time=split.instant(kind).to_physical())
