"""The one schema that the files of a table should have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import polars as pl


def common_schema(
    found: Mapping[Path, pl.Schema], count_problems: Callable[[pl.Schema], int] = lambda _: 0
) -> tuple[pl.Schema | None, list[str]]:
    """The one schema that files should have (None without a file), and the problems of files that differ from it.

    Args:
        found: Schema of each file.
        count_problems: The number of problems of a schema. If files have different types of a column, the expected type
            is the one with the fewest problems, then the most frequent one, then the first.
    """
    columns = dict.fromkeys(column for schema in found.values() for column in schema)
    types = {column: Counter(schema.get(column) for schema in found.values()) for column in columns}
    usual = {column: counts.most_common(1)[0][0] for column, counts in types.items()}

    def wrong(column: str, kind: pl.DataType | None) -> int:
        return count_problems(_without_gaps({**usual, column: kind}))

    expected = usual | {
        column: min((kind for kind, _ in counts.most_common()), key=partial(wrong, column))
        for column, counts in types.items()
        if len(counts) > 1
    }
    problems = [
        f"{path} differs: `{column}` is {_named(schema.get(column))}, not {_named(kind)} "
        f"as in {types[column][kind]} of {len(found)} files; write the files with one schema"
        for path, schema in found.items()
        for column, kind in expected.items()
        if schema.get(column) != kind
    ]
    return (_without_gaps(expected) if found else None), problems


def _named(kind: pl.DataType | None) -> str:
    return "no column" if kind is None else str(kind)


def _without_gaps(types: Mapping[str, pl.DataType | None]) -> pl.Schema:
    return pl.Schema({column: kind for column, kind in types.items() if kind is not None})
