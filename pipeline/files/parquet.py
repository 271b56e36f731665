"""Single Parquet files: their schemas, rows and damages. No path is ever taken for a pattern."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from features.errors import InputError
from pipeline.files.partitions import partition_as

# Polars gives up on some damaged pages by a panic, which is no Exception.
READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_MAGIC = b"PAR1"
_MOST_DIGITS = 38  # of decimals that Polars computes with
_PIECE = 1_000_000  # rows of a column in memory while damage is looked for


class DamagedError(InputError):
    """One file cannot be read. Callers go on with the others, and name all damaged files at the end."""

    def __init__(self, path: Path, reason: str, fix: str = "remove or replace it") -> None:
        super().__init__(path, reason, fix)  # pickling makes the error again from these arguments
        self.path, self._reason, self._fix = path, reason, fix

    def __str__(self) -> str:
        return f"{self.path} is not a readable Parquet file ({self._reason}); {self._fix}"


def scan(path: Path) -> pl.LazyFrame:
    """A lazy frame of one file's own columns; a folder called ``dt=...`` adds no column."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def scan_as(path: Path, schema: pl.Schema, start: int = 0, rows: int | None = None) -> pl.LazyFrame:
    """A lazy frame of one file with the columns and types of a schema.

    A column that the file lacks is given by the path's partition of that name, if there is one, and else null.

    Args:
        path: The file.
        schema: The columns.
        start: Number of the first row.
        rows: Number of rows; None for all.

    Raises:
        DamagedError: If the file's schema cannot be read.
    """
    own, columns = read_schema(path), []
    for name, kind in schema.items():
        if name not in own:
            columns.append(pl.lit(partition_as(path, name, kind), kind).alias(name))
        elif own[name] != kind:
            columns.append(pl.col(name).cast(kind))
    # The columns are added, since a frame of constants alone would have one row.
    return scan(path).slice(start, rows).with_columns(columns).select(list(schema))


def scan_all(paths: Sequence[Path]) -> pl.LazyFrame:
    """A lazy frame of files of one schema, one after another."""
    return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)


def scan_folder(folder: Path) -> pl.LazyFrame:
    """A lazy frame of the files that one of our own commands wrote to a folder, in the order of their names."""
    return scan_all(sorted(folder.glob("*.parquet")))


def collect(path: Path, rows: pl.LazyFrame) -> pl.DataFrame:
    """Collect a query on one file by streaming: memory use does not grow with the rows of the file.

    Raises:
        DamagedError: If its pages cannot be read.
        InputError: If they can, and the query fails all the same.
    """
    try:
        return rows.collect(engine="streaming")
    except READ_ERRORS as error:
        refuse_damage(path, _first_line(error))
        raise InputError(f"{path} can be read, but its rows do not allow what is asked: {error}") from error


def refuse_damage(path: Path, found: str | None = None) -> None:
    """Raise an error if columns of a file cannot be read as they are, one at a time.

    Args:
        path: The file.
        found: The first line of the error that reading the right columns would end with; None for any error.

    Raises:
        DamagedError: If they cannot.
    """
    for column, kind in read_schema(path).items():
        if isinstance(kind, pl.Decimal) and (kind.precision or 0) > _MOST_DIGITS:
            continue
        try:
            for start in range(0, count_rows(path), _PIECE):
                scan(path).select(column).slice(start, _PIECE).collect(engine="streaming")
        except READ_ERRORS as error:
            if found in (None, _first_line(error)):
                raise DamagedError(path, _first_line(error)) from error


def read_schema(path: Path) -> pl.Schema:
    """The schema of a file, by its footer.

    Raises:
        DamagedError: If it has none that can be read.
    """
    if path.is_dir():
        raise DamagedError(path, "it is a folder without a Parquet file", "write it again, or remove it")
    try:
        return scan(path).collect_schema()
    except pl.exceptions.DuplicateError as error:
        raise DamagedError(path, _first_line(error), "rename one of the columns") from error
    except READ_ERRORS as error:
        raise DamagedError(path, _cut_off(path) or _first_line(error)) from error


def _cut_off(path: Path) -> str | None:
    """The damage of a file that begins as Parquet does and lacks its end, where Parquet has the schema."""
    with suppress(OSError), path.open("rb") as stream:
        begins = stream.read(len(_MAGIC)) == _MAGIC
        stream.seek(-len(_MAGIC), os.SEEK_END)
        if begins and stream.read() != _MAGIC:
            return "its end is missing: it was cut off while it was written or copied"
    return None


def read_schemas(paths: Sequence[Path]) -> tuple[dict[Path, pl.Schema], dict[Path, str]]:
    """The schema of every readable file, and the problem of each of the others."""
    found: dict[Path, pl.Schema] = {}
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            found[path] = read_schema(path)
        except DamagedError as error:
            unreadable[path] = str(error)
    return found, unreadable


def count_rows(path: Path) -> int:
    """The number of rows that a file's footer states."""
    return int(scan(path).select(pl.len()).collect().item())


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
