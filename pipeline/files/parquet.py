"""Parquet files that a user points at: finding them, reading them, and the one schema that they should share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from glob import glob
from pathlib import Path

import polars as pl

from features.errors import InputError

# Polars gives up on some damaged pages by a panic, which is no Exception.
_DAMAGED = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


class DamagedError(InputError):
    """One file cannot be read. Callers go on with the others, and name all damaged files at the end."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # pickling makes the error again from these arguments
        self.path, self._reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is not a readable Parquet file ({self._reason}); remove or replace it"


def find_files(pattern: str) -> list[Path]:
    """The Parquet files that a path, a folder (searched with its subfolders) or a glob names, in order."""
    return sorted(Path(pattern).rglob("*.parquet")) if Path(pattern).is_dir() else sorted(map(Path, glob(pattern)))


def scan(path: Path) -> pl.LazyFrame:
    """A lazy frame of one file's own columns; a folder called ``dt=...`` adds no column."""
    return pl.scan_parquet(path, hive_partitioning=False)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn the error of reading a damaged file into one that names the file.

    Raises:
        DamagedError: If the block fails, which should only read this file.
    """
    try:
        yield
    except _DAMAGED as error:
        raise DamagedError(path, str(error).partition("\n")[0]) from error


def collect(path: Path, rows: pl.LazyFrame) -> pl.DataFrame:
    """Collect a query on one file by streaming: memory use does not grow with the rows of the file.

    Raises:
        DamagedError: If its pages cannot be read.
    """
    with naming_damage(path):
        return rows.collect(engine="streaming")


def read_schemas(paths: Sequence[Path]) -> tuple[dict[Path, pl.Schema], dict[Path, str]]:
    """The schema of every readable file, and the problem of each of the others."""
    found: dict[Path, pl.Schema] = {}
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            with naming_damage(path):
                found[path] = pl.Schema(pl.read_parquet_schema(path))
        except DamagedError as error:
            unreadable[path] = str(error)
    return found, unreadable


def count_rows(path: Path) -> int:
    """The number of rows that a file's footer states."""
    return int(scan(path).select(pl.len()).collect().item())


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
