"""Parquet files that a user points at: which they are, and whether they are readable and of one schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from glob import glob
from pathlib import Path

import polars as pl

from features.errors import InputError

# Polars gives up on some damaged pages by a panic, which is no Exception.
_DAMAGED = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


class DamagedError(InputError):
    """One file cannot be read: a reason to go on with the others, and to name them all in the end."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # what another process makes it from again
        self.path, self._reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is not a readable Parquet file ({self._reason}); remove or replace it"


def find_files(pattern: str) -> list[Path]:
    """The files of a path, a folder (with those below it) or a glob, in order."""
    return sorted(Path(pattern).rglob("*.parquet")) if Path(pattern).is_dir() else sorted(map(Path, glob(pattern)))


def scan(path: Path) -> pl.LazyFrame:
    """The columns that one file itself has; a folder called ``dt=...`` adds none."""
    return pl.scan_parquet(path, hive_partitioning=False)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into an error that names the file.

    Raises:
        DamagedError: If the block, which reads this file and does nothing else, fails.
    """
    try:
        yield
    except _DAMAGED as error:
        raise DamagedError(path, str(error).partition("\n")[0]) from error


def read(path: Path, rows: pl.LazyFrame) -> pl.DataFrame:
    """Collect what is asked of one file, in memory that its rows do not fill.

    Raises:
        DamagedError: If its pages cannot be read.
    """
    with naming(path):
        return rows.collect(engine="streaming")


def schemas(paths: list[Path]) -> tuple[dict[Path, pl.Schema], list[str]]:
    """The schema of every readable file, and what is wrong with the others."""
    found: dict[Path, pl.Schema] = {}
    problems = []
    for path in paths:
        try:
            with naming(path):
                found[path] = pl.Schema(pl.read_parquet_schema(path))
        except DamagedError as error:
            problems.append(str(error))
    return found, problems


def height(path: Path) -> int:
    """Rows of a file, by its footer."""
    return int(scan(path).select(pl.len()).collect().item())


def agreed(
    found: Mapping[Path, pl.Schema], count_problems: Callable[[pl.Schema], int] = lambda _: 0
) -> tuple[pl.Schema | None, list[str]]:
    """The one schema that files should have, None without a file, and how each of them differs.

    Args:
        found: Schema of each file.
        count_problems: How much is wrong with a schema. Of several types of a column the one with the fewest problems
            is expected, then the most frequent, then the first.
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
