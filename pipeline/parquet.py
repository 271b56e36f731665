"""Parquet files that a user points at: which they are, and whether they are readable and of one schema."""

from __future__ import annotations

from collections.abc import Iterator
from glob import glob
from pathlib import Path

import polars as pl


def find(pattern: str) -> list[Path]:
    """The files of a path, a folder (with those below it) or a glob, in order."""
    return sorted(Path(pattern).rglob("*.parquet")) if Path(pattern).is_dir() else sorted(map(Path, glob(pattern)))


def schema(paths: list[Path]) -> tuple[pl.Schema | None, list[str]]:
    """The schema of the first readable file, None without one; and what is wrong: unreadable, or of another schema."""
    schemas: dict[Path, pl.Schema] = {}
    problems = []
    for path in paths:
        try:
            schemas[path] = pl.Schema(pl.read_parquet_schema(path))
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            problems.append(f"{path} is not a readable Parquet file ({reason}); remove or replace it")
    if not schemas:
        return None, problems
    first, expected = next(iter(schemas.items()))
    for path, other in schemas.items():
        problems += [f"{path} differs from {first}: {difference}" for difference in _differences(expected, other)]
    return expected, problems


def _differences(expected: pl.Schema, other: pl.Schema) -> Iterator[str]:
    for column in {**expected, **other}:
        types = [str(s[column]) if column in s else "no column" for s in (other, expected)]
        if types[0] != types[1]:
            yield f"`{column}` is {types[0]}, not {types[1]}; write the files with one schema"
