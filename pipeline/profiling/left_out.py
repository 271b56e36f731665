"""Columns that are left out before their values are looked at: by name, by the user, or since no kind reads them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pipeline.profiling import column_names as names
from pipeline.profiling.choice import Choices, Excluded
from pipeline.profiling.column import Column
from pipeline.profiling.log import Log
from pipeline.profiling.questions import Asker
from pipeline.profiling.wishes import Wishes


def is_flat(kind: pl.DataType) -> bool:
    """Whether values have figures of their own: structs and objects have none."""
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
    return not isinstance(inner, pl.Struct | pl.List | pl.Array | pl.Object)


def outcomes(columns: Mapping[str, Column], wishes: Wishes, asker: Asker) -> Choices:
    """The columns that are left out by their names or by the user."""
    excluded = [Excluded(name, "left out by --exclude") for name in columns if name in wishes.exclude]
    for name in columns:
        is_id = columns[name].is_unique and names.names_something(name)
        # Known in every row, it is the time of the click; else that of an action that came of some rows.
        is_time = names.is_own_time(name) and not columns[name].values.null_count()
        if is_id or is_time or name in (*wishes.keep, *wishes.exclude):
            continue
        if names.is_row_number(name):
            excluded.append(Excluded(name, "named like the number of a row"))
        elif names.is_row_weight(name):
            why = "named like the weight of a row; a task's `sample_weight` may name it"
            excluded.append(Excluded(name, why, look=True))
        elif names.is_outcome(name):
            why = "named like something that came of the row, which nobody knew before"
            if not asker.is_known_before(name, why):
                excluded.append(Excluded(name, f"{why}; if it was known, `--keep {name}`", look=True))
    return Choices((), tuple(excluded))


def unreadable(log: Log) -> Choices:
    """The columns that no kind of feature can read."""
    excluded = [Excluded(name, reason, look=True) for name, reason in log.unreadable.items()]
    for name, kind in log.schema.items():
        if not is_flat(kind) or kind in (pl.Duration, pl.Time):
            what = "a struct" if isinstance(kind, pl.Struct) else str(kind)
            excluded.append(Excluded(name, f"{what}, which no kind of feature reads: write its parts into columns"))
    return Choices((), tuple(excluded))
