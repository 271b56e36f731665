"""The one schema that the files of a table are read as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import polars as pl

from pipeline.files.widening import united

_MOST_DIGITS = 38


@dataclass(frozen=True)
class Widened:
    """A column that files have in several types, which is read as one that takes all their values.

    Args:
        column: Its name.
        types: The types, each with its number of files.
        read_as: The common type.
    """

    column: str
    types: tuple[tuple[str, int], ...]
    read_as: str

    def __str__(self) -> str:
        found = ", ".join(f"{kind} in {files} file(s)" for kind, files in self.types)
        return f"`{self.column}` is {found}; it is read as {self.read_as}"


@dataclass(frozen=True)
class CommonSchema:
    """The schema that files are read as.

    Args:
        schema: Every column of any file; types that nobody compared are those of the first file. Empty without a file.
        problems: The problems of files that differ from it.
        widened: The columns that some files have in another type.
        differing: File to its columns that cannot be read as in the schema.
    """

    schema: pl.Schema
    problems: tuple[str, ...]
    widened: tuple[Widened, ...]
    differing: Mapping[Path, frozenset[str]]

    def read_as(self, path: Path, own: pl.Schema) -> pl.Schema:
        """The schema that one file is read as: its own columns, in their own type where it differs too much."""
        kept = self.differing.get(path, frozenset())
        return pl.Schema({c: kind if c in kept else self.schema[c] for c, kind in own.items()})


def common_schema(
    found: Mapping[Path, pl.Schema],
    required: Collection[str] = (),
    compared: Collection[str] | None = None,
    count_problems: Callable[[pl.Schema], int] = lambda _: 0,
    fix: str = "write the files with one schema",
) -> CommonSchema:
    """The schema that files are read as, and the problems of those that cannot be.

    Args:
        found: Schema of each file.
        required: Columns that every file should have if one has them.
        compared: Columns whose types are compared, the required ones included; None for all.
        count_problems: The number of problems of a schema. Types are united only if that adds none. Of types that
            cannot be united, the expected one has the fewest problems, or is the most frequent, or the first.
        fix: The end of each problem.
    """
    names = dict.fromkeys(column for schema in found.values() for column in schema)
    kinds = {name: Counter(schema[name] for schema in found.values() if name in schema) for name in names}
    usual = pl.Schema({name: counts.most_common(1)[0][0] for name, counts in kinds.items()})
    columns = {name: _Column(name, counts, usual[name], tuple(counts)) for name, counts in kinds.items()}
    for name in columns if compared is None else compared:
        if name in columns:
            columns[name] = columns[name].united(partial(_count, count_problems, usual, name))
    differing: dict[Path, frozenset[str]] = {}
    problems = []
    for path, schema in found.items():
        apart = [columns[name] for name, kind in schema.items() if kind not in columns[name].taken]
        lacking = [columns[name] for name in required if name in columns and name not in schema]
        problems += [_differs(path, column, schema.get(column.name), found, fix) for column in (*apart, *lacking)]
        problems += [f"{path}: {problem}; {fix}" for column in columns.values() for problem in column.too_long(schema)]
        differing[path] = frozenset(column.name for column in apart)
    widened = tuple(column.widened for column in columns.values() if column.is_compared and len(column.taken) > 1)
    return CommonSchema(pl.Schema({c.name: c.kind for c in columns.values()}), tuple(problems), widened, differing)


@dataclass(frozen=True)
class _Column:
    """A column of several files.

    Args:
        name: Its name.
        kinds: Its types, each with its number of files.
        kind: The type that it is read as.
        taken: The types whose values that type takes; all of them where nobody compared them.
        is_compared: Whether somebody did.
    """

    name: str
    kinds: Mapping[pl.DataType, int]
    kind: pl.DataType
    taken: tuple[pl.DataType, ...]
    is_compared: bool = False

    @property
    def widened(self) -> Widened:
        """The types that became one."""
        found = tuple((str(kind), number) for kind, number in self.kinds.items() if kind in self.taken)
        return Widened(self.name, found, str(self.kind))

    def united(self, wrong: Callable[[pl.DataType], int]) -> _Column:
        """The column read as the type that takes most files, begun with the type that breaks the fewest rules."""
        kinds, count = [*self.kinds], cache(wrong)
        if len(kinds) > 1:
            kinds.sort(key=lambda kind: (count(kind), -self.kinds[kind]))
        kind, taken = kinds[0], [kinds[0]]
        for other in kinds[1:]:
            both = united(kind, other)
            if both is not None and count(both) <= count(kind):
                kind = both
                taken.append(other)
        return replace(self, kind=kind, taken=tuple(taken), is_compared=True)

    def too_long(self, schema: pl.Schema) -> Iterator[str]:
        """The problem of a file's decimals with more digits than Polars computes with."""
        kind = schema.get(self.name)
        if self.is_compared and isinstance(kind, pl.Decimal) and (kind.precision or 0) > _MOST_DIGITS:
            yield f"`{self.name}` is {kind}, and at most {_MOST_DIGITS} digits can be read"


def _count(count_problems: Callable[[pl.Schema], int], usual: pl.Schema, name: str, kind: pl.DataType) -> int:
    """The number of problems if a column had a type."""
    return count_problems(pl.Schema({**usual, name: kind}))


def _differs(path: Path, column: _Column, own: pl.DataType | None, found: Mapping[Path, pl.Schema], fix: str) -> str:
    alike = [other for other, schema in found.items() if column.name in schema and schema[column.name] in column.taken]
    kind = "no column" if own is None else str(own)
    where = f"as in {len(alike)} of {len(found)} files (first in {alike[0]})"
    return f"{path} differs: `{column.name}` is {kind}, not {column.kind} {where}; {fix}"
