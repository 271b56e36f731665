"""The feature of each column, by its type and its values, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.profiling.categories import category
from pipeline.profiling.choice import Choices, Excluded
from pipeline.profiling.column import Column
from pipeline.profiling.lists import find_weights, multi_hot
from pipeline.profiling.log import Log
from pipeline.profiling.notation import unread
from pipeline.profiling.numbers import is_category, number
from pipeline.profiling.splitting import Split
from pipeline.profiling.texts import text
from pipeline.profiling.times import Times, time_features
from pipeline.runtime.progress import Progress


def column_features(
    log: Log,
    columns: Mapping[str, Column],
    times: Mapping[str, Times],
    own: Times | None,
    split: Split,
    left: set[str],
    progress: Progress,
) -> Choices:
    """A choice for each column that is left."""
    weights = find_weights(columns)
    found = Choices()
    for name, column in progress.each("choosing features", columns.items(), len(columns)):
        if name in left:
            continue
        if (why := _empty(column, split)) is not None:
            found += Choices((), (Excluded(name, why),))
        elif (excluded := unread(column, log)) is not None:
            found += Choices((), (excluded,))
        elif name in times:
            found += time_features(times[name], own, split.training or times[name].span)
        elif name not in weights.values():
            found += _feature(log, column, split, weights.get(name))
    return found


def _empty(column: Column, split: Split) -> str | None:
    """The reason why a column tells nothing."""
    if not len(column.known):
        return f"no value in {column.rows:,} rows"
    training = Column(column.values.filter(split.part == "train"))
    if not len(training.known):
        return f"no value in {training.rows:,} training rows"
    if column.distinct == 1 and column.values.null_count() == 0 and len(column.known) == column.rows:
        return f"one value in all rows, {str(column.known[0])[:40]}"
    return None


def _feature(log: Log, column: Column, split: Split, weights: str | None) -> Choices:
    kind = column.kind
    if isinstance(kind, pl.List | pl.Array):
        return multi_hot(column, log, weights)
    if kind == pl.String:
        return text(column, log, split)
    if kind.is_decimal():
        return number(column, split)
    if kind.is_numeric() and not is_category(column):
        return number(column, split)
    return category(column, log, split)
