"""Columns that name the group of a row, or the row itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.errors import InputError
from features.naming import broken_key
from pipeline.profiling import column_names as names
from pipeline.profiling.choice import Excluded
from pipeline.profiling.column import Column
from pipeline.profiling.log import Log
from pipeline.profiling.wishes import Wishes

_ROWS_OF_GROUP = 2


def find_group(log: Log, wishes: Wishes, columns: Mapping[str, Column]) -> tuple[str, str] | None:
    """The users, if they have several rows each."""
    if wishes.group and (rule := broken_key(log.schema[wishes.group])):
        raise InputError(f"--group {wishes.group} holds {log.schema[wishes.group]}; {rule}")
    able = [name for name in columns if names.is_user(name) and broken_key(columns[name].kind) is None]
    for name in [wishes.group] if wishes.group else able:
        column = columns[name]
        rows = len(column.known) / max(column.distinct, 1)
        if wishes.group or rows >= _ROWS_OF_GROUP:
            return name, f"GAUC, the mean of the AUCs within each of its values: {rows:.1f} rows each in {log.of_rows}"
    return None


def find_unique(log: Log, excluded: Sequence[Excluded], columns: Mapping[str, Column]) -> tuple[str, str] | None:
    """The column that tells every row from all others, if all rows were looked at."""
    for one in excluded:
        column = columns.get(one.column)
        if column is None or not one.reason.startswith("identifies") or names.names_something(one.column) is not True:
            continue
        if log.is_whole and column.distinct == log.rows:
            return one.column, f"{column.distinct:,} distinct in {log.rows:,} rows: no row is there twice"
    return None
