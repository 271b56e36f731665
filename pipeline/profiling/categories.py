"""Features of one category a row: with a vocabulary, or hashed where values are many or new ones keep coming."""

from __future__ import annotations

from typing import Any

import polars as pl

from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import FEW, Column, share
from pipeline.profiling.log import Log
from pipeline.profiling.splitting import Split

# Number of values from which on they are hashed, and the sizes of hashed tables.
HASHED_FROM = 10_000
_LEAST_BUCKETS, _MOST_BUCKETS = 1000, 1_000_000
# A table of values of which almost none comes again cannot serve.
_NEW = 0.8
# A vocabulary of frequent values alone would know less than half of the rows.
_RARE = 0.5


def category(column: Column, log: Log, split: Split) -> Choices:
    """The feature of a column of categories, or the reason why it can be none."""
    if column.is_unique:
        rows = f"{column.distinct:,} distinct in {len(column.known):,} rows"
        return Choices((), (Excluded(column.name, f"identifies a row: {rows}"),))
    new = _new_in_test(column, split) if log.is_whole else 0.0
    if new > _NEW:
        why = f"{new:.0%} of the test rows have a value that no training row has, so a table of them tells little"
        return Choices((), (Excluded(column.name, f"{seen(column)}; {why}"),))
    keys, how = known_by(column, log)
    return Choices((Feature(column.name, {"kind": "categorical", **keys}, f"{seen(column)}: {how}"),))


def seen(column: Column) -> str:
    """The number of values of a column in words, with the share that was seen once if that is large."""
    text = f"{column.distinct:,} distinct in {len(column.known):,} rows"
    return f"{text}, {column.once / column.distinct:.0%} seen once" if column.once > column.distinct / 20 else text


def known_by(column: Column, log: Log) -> tuple[dict[str, Any], str]:
    """The keys by which values are known, and the reason."""
    distinct = column.estimated_distinct(log.rows)
    if distinct >= HASHED_FROM or column.rare > _RARE:
        buckets = buckets_for(distinct)
        about = "" if distinct == column.distinct else f", about {distinct:,} in all rows"
        return {"buckets": buckets}, f"hashed{about}"
    if column.rare > 0.01 and column.distinct > FEW * 20:
        return {"min_count": FEW}, f"those with fewer than {FEW} training rows are one"
    return {}, "a vocabulary"


def buckets_for(values: int) -> int:
    """The rows of a table that values are hashed into: 1, 2 or 5 times a power of ten."""
    step = _LEAST_BUCKETS
    while step < min(values, _MOST_BUCKETS):
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return min(step, _MOST_BUCKETS)


def _new_in_test(column: Column, split: Split) -> float:
    """The share of the test rows whose value is in no training row."""
    rows = pl.DataFrame({"value": column.values, "part": split.part}).drop_nulls("value")
    train, test = (rows.filter(pl.col("part") == part).get_column("value") for part in ("train", "test"))
    return share(~test.is_in(train.unique().implode()))
