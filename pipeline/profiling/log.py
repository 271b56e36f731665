"""A log as its files are: their one schema, a sample of the rows, and columns that not all files have alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.files import parquet
from pipeline.files.content import copies_problem, find_copies
from pipeline.files.days import DayKeys
from pipeline.files.partitions import Partitions, PartitionType, kind_of, parts_of
from pipeline.files.schemas import common_schema
from pipeline.files.table import Table, find_table
from pipeline.runtime.progress import Progress, Silent
from pipeline.validation.leakage import spread_pieces

# Largest numbers of rows and of values of the sample.
SAMPLE_ROWS, _SAMPLE_VALUES = 200_000, 40_000_000
_DAY_KEYS = frozenset("dt date ds day year month".split())


@dataclass(frozen=True)
class Log:
    """A log, and a sample of its rows.

    Args:
        source: Its path as the user gave it.
        table: Its files.
        schema: The columns that every file has, in the types that they are read as, partitions included.
        partitions: Keys of the folders that are columns.
        unreadable: Column that cannot be read as one to the reason.
        rows: Number of rows.
        sample: All rows, or pieces of them spread evenly over the files; categories and enums as text.
    """

    source: str
    table: Table
    schema: pl.Schema
    partitions: Partitions
    unreadable: Mapping[str, str]
    rows: int
    sample: pl.DataFrame

    @classmethod
    def read(cls, source: str, most_rows: int = SAMPLE_ROWS, progress: Progress = Silent()) -> Log:
        """Find the files of a log and read their sample.

        Raises:
            InputError: If there is no file, one cannot be read or is there twice, or there is no row.
        """
        table = find_table(source)
        found, damaged = parquet.read_schemas(table.files)
        problems = [*damaged.values()]
        problems += [copies_problem(copies) for copies in find_copies(found)] if not damaged else []
        problems += DayKeys().problems(table.files)
        if problems:
            raise InputError.of(f"`{source}` cannot be read as a log", problems)
        partitions = _partitions(table.files, found)
        schema, unreadable = _one_schema(found)
        schema = pl.Schema({**schema, **{key: kind_of(kind) for key, kind in partitions.items()}})
        rows = sum(map(parquet.count_rows, table.files))
        if not rows:
            raise InputError(f"`{source}` has no rows in {len(table.files)} file(s); name files with rows")
        most = max(1000, min(most_rows, _SAMPLE_VALUES // max(len(schema), 1)))
        return cls(source, table, schema, partitions, unreadable, rows, _sampled(table.files, schema, most, progress))

    @property
    def is_whole(self) -> bool:
        """Whether the sample has every row."""
        return self.sample.height == self.rows

    @property
    def of_rows(self) -> str:
        """Words for the rows that were looked at."""
        return f"{self.rows:,} rows" if self.is_whole else f"a sample of {self.sample.height:,} of {self.rows:,} rows"

    def every(self, columns: Sequence[str]) -> list[tuple[Path, pl.LazyFrame]]:
        """All rows of some columns, a lazy frame a file."""
        schema = pl.Schema({column: self.schema[column] for column in columns})
        return [(path, parquet.scan_as(path, schema)) for path in self.table.files]


def _one_schema(found: Mapping[Path, pl.Schema]) -> tuple[pl.Schema, dict[str, str]]:
    """The columns that all files have in types that can be united, and the reasons why others cannot be read."""
    common = common_schema(found)
    reasons: dict[str, str] = {}
    for path, columns in common.differing.items():
        for column in columns:
            kinds = f"{found[path][column]} in {path} and {common.schema[column]} in others"
            reasons.setdefault(column, f"its types cannot be united: {kinds}")
    for column in common.schema:
        having = sum(column in schema for schema in found.values())
        if having < len(found):
            reasons.setdefault(column, f"{len(found) - having} of {len(found)} files have no such column")
    return pl.Schema({c: kind for c, kind in common.schema.items() if c not in reasons}), reasons


def _partitions(files: Sequence[Path], found: Mapping[Path, pl.Schema]) -> dict[str, PartitionType]:
    """The keys of folders, except those of days, that every path has and no file has as a column."""
    parts = [parts_of(path) for path in files]
    keys = [key for key in parts[0] if key not in _DAY_KEYS and all(key in one for one in parts)]
    columns = {column for schema in found.values() for column in schema}
    values = {key: [one[key] for one in parts if one[key] is not None] for key in keys if key not in columns}
    return {key: "integer" if all(map(_is_plain_integer, texts)) else "text" for key, texts in values.items()}


def _is_plain_integer(text: str | None) -> bool:
    """Whether a text is the digits of an integer, without a leading zero."""
    return text is not None and text.isdecimal() and str(int(text)) == text and len(text) < 19


def _sampled(files: Sequence[Path], schema: pl.Schema, most: int, progress: Progress) -> pl.DataFrame:
    places = list(spread_pieces(files, most))
    pieces = [
        parquet.collect(path, parquet.scan_as(path, schema, *place))
        for path, *place in progress.each("reading rows", places, len(places))
    ]
    texts = [name for name, kind in schema.items() if kind in (pl.Categorical, pl.Enum)]
    return pl.concat(pieces).with_columns(pl.col(texts).cast(pl.String))


def missing_days(files: Sequence[Path]) -> int:
    """The number of days between the first and the last that paths name which no path names."""
    days = {day for day in map(partial(DayKeys.of, DayKeys()), files) if day is not None}
    return (max(days) - min(days)).days + 1 - len(days) if days else 0
