"""The split of a draft: by time where rows have one, else by a key, so that each part has both classes of each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from features.errors import InputError
from features.naming import broken_key
from pipeline.config.split import SplitConfig
from pipeline.files.days import DayKeys
from pipeline.profiling.column import Column, share
from pipeline.profiling.column_names import is_row_number, is_row_weight, is_session, is_user, names_something
from pipeline.profiling.labels import Label
from pipeline.profiling.log import Log
from pipeline.profiling.times import Times

# A day or a moment of the log decides; of fewer days than this a share of the rows does.
_FEWEST_DAYS, _SHARE, _SEEDS = 5, 0.1, 20
_FEWEST_KEYS = 20


@dataclass(frozen=True)
class Split:
    """The split of a draft.

    Args:
        config: The keys of its section.
        evidence: What was found, as its comment has it.
        part: The part of each row of the sample, ``train``, ``val`` or ``test``.
        training: The time that the training rows span; zero for a split by key.
    """

    config: Mapping[str, Any]
    evidence: str
    part: pl.Series = field(compare=False)
    training: timedelta = timedelta()


def choose_split(
    log: Log, columns: Mapping[str, Column], labels: Sequence[Label], own: Times | None, without_time: str
) -> Split:
    """A split of which each part has both classes of every task, as far as the sample tells.

    Args:
        log: The log.
        columns: The columns that may be a key.
        labels: The tasks.
        own: The time of the row's own event; None if no column has it.
        without_time: The reason for a split by a key, in words.

    Raises:
        InputError: If there is none.
    """
    if own is not None and (found := next(_by_time(log, labels, own), None)) is not None:
        return found
    if (split := next(_by_key(log, columns, labels, without_time), None)) is not None:
        return split
    counted = "; ".join(f"{label.name}: {label.evidence}" for label in labels)
    rule = "training, validation and test each need rows of both classes of every task"
    raise InputError(f"{log.rows:,} row(s) cannot be split: {rule} ({counted}); collect more rows, or leave a task out")


def _by_time(log: Log, labels: Sequence[Label], own: Times) -> Iterator[Split]:
    """By the days of the folders where there are a few, else by shares of the rows."""
    unit = {} if own.unit is None else {"unit": own.unit}
    base = {"time": own.column.name, **unit}
    if (days := _last_days(log, own)) is not None:
        validation, test = days
        found = own.moments.to_frame("at").select(part=_part(pl.lit(validation), pl.lit(test))).to_series()
        if _has_all_classes(log, labels, found):
            yield _timed({**base, "validation": validation, "test": test}, own, found, "the folders name days")
    order = own.moments.sort()
    firsts = [round(len(order) * (1 - share)) for share in (2 * _SHARE, _SHARE)]
    moments = [order.item(place) for place in (0, *firsts) if place < len(order)]
    if len(moments) < 3 or not moments[0] < moments[1] < moments[2]:
        return
    begins = [pl.lit(moment) for moment in moments[1:]]
    found = own.moments.to_frame("at").select(part=_part(*begins)).to_series()
    if _has_all_classes(log, labels, found):
        yield _timed(
            {**base, "validation": _SHARE, "test": _SHARE}, own, found, "the last fifth of the rows validates and tests"
        )


def _timed(config: Mapping[str, Any], own: Times, part: pl.Series, why: str) -> Split:
    training = Times(own.column, own.unit, own.moments.filter(part == "train"))
    return Split(config, f"{own.range}, in UTC; {why}", part, training.span)


def _part(validation: pl.Expr, test: pl.Expr) -> pl.Expr:
    at = pl.col("at").cast(pl.Datetime("us"))
    later = pl.when(at < test.cast(pl.Datetime("us"))).then(pl.lit("val")).otherwise(pl.lit("test"))
    return pl.when(at < validation.cast(pl.Datetime("us"))).then(pl.lit("train")).otherwise(later)


def _last_days(log: Log, own: Times) -> tuple[date, date] | None:
    """The days at which validation and test begin, if folders name enough days and the times are of these days."""
    days = sorted({day for path in log.table.files if (day := DayKeys().of(path)) is not None})
    if len(days) < _FEWEST_DAYS:
        return None
    held_out = max(1, round(len(days) * _SHARE))
    validation, test = days[-2 * held_out], days[-held_out]
    found = own.moments.to_frame("at").select(part=_part(pl.lit(validation), pl.lit(test))).to_series()
    shares = [share(found == part) for part in ("val", "test")]
    return (validation, test) if all(_SHARE / 3 < one < 3 * _SHARE for one in shares) else None


def _has_all_classes(log: Log, labels: Sequence[Label], part: pl.Series) -> bool:
    """Whether each part has both classes of each task; of a sample that has not every row, whether it has rows."""
    rows = log.sample.select(*(label.expression.alias(str(n)) for n, label in enumerate(labels))).with_columns(part)
    for name in ("train", "val", "test"):
        some = rows.filter(pl.col(part.name) == name)
        if not some.height:
            return False
        if log.is_whole and any(some.get_column(str(n)).drop_nulls().n_unique() < 2 for n in range(len(labels))):
            return False
    return True


def _by_key(log: Log, columns: Mapping[str, Column], labels: Sequence[Label], why: str) -> Iterator[Split]:
    """By each column that has enough values, users first, with each of a few seeds."""
    able = [c for c in columns.values() if c.distinct >= 3 and broken_key(c.kind) is None and not is_row_weight(c.name)]
    for column in sorted(able, key=_key_rank):
        if column.values.null_count():
            continue
        for seed in range(_SEEDS):
            config = {"key": column.name, "validation": _SHARE, "test": _SHARE} | ({"seed": seed} if seed else {})
            split = SplitConfig.model_validate(config).split_of(log.schema, holdout=False).alias("part")
            part = log.sample.select(split).to_series()
            if _has_all_classes(log, labels, part):
                kept = "a row's value stays on one side" if column.is_unique else "rows of one value stay together"
                yield Split(config, f"{why}; by a hash of {column.distinct:,} values: {kept}", part)


def _key_rank(column: Column) -> tuple[int, int]:
    """The columns whose rows should stay together first, then those that tell rows apart."""
    many = column.distinct >= _FEWEST_KEYS
    is_id = column.is_unique and names_something(column.name) is not False
    ranks = [many and is_user(column.name), many and is_session(column.name), is_id or is_row_number(column.name), many]
    return next((place for place, holds in enumerate(ranks) if holds), len(ranks)), -column.distinct
