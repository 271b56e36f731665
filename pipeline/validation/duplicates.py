"""Repeated rows of a log, counted in bounded memory: by hash, then by value.

A pass takes the rows whose hash has a given remainder, few enough to be sorted; repeated hashes are then compared by
value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.naming import broken_key, key_text
from features.nearest import missing_column
from features.transforms import stable_hash
from pipeline.files import parquet
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor
from pipeline.validation.findings import Findings

Hashes = npt.NDArray[np.uint64]
FilesByRole = Mapping[str, Mapping[Path, pl.Schema]]

_BOTH, _KEY = "both", "key "


@dataclass(frozen=True)
class Effort:
    """Limits of the search for repeated rows.

    Args:
        hashes: Largest number of hashes in memory: 8 bytes each, and as much again while they are sorted.
        compared: Largest number of repeated hashes whose rows are compared value by value. With more, hashes alone are
            counted; chance does not matter: among 10^9 different rows, thirty such logs have less than one equal pair.
        hash: Function from a row's text to its hash.
    """

    hashes: int = 1 << 24
    compared: int = 10_000
    hash: Callable[[pl.Expr], pl.Expr] = stable_hash


def unfit(role: str, schema: pl.Schema, columns: Sequence[str]) -> Iterator[str]:
    """Columns of ``[contract] unique`` that are missing, or of a type whose values identify nothing."""
    for column in columns:
        if column not in schema:
            yield missing_column(column, "`[contract] unique`", role, schema, "name columns that identify a row")
        elif rule := broken_key(schema[column]):
            yield f"column `{column}` (`[contract] unique`) holds {schema[column]}; {rule}"


def find_repeats(
    files: Mapping[str, Mapping[Path, pl.Schema]],
    columns: Sequence[str],
    executor: Executor = LOCAL_EXECUTOR,
    newest: Collection[Path] = (),
    effort: Effort = Effort(),
) -> Findings:
    """Rows of a role that repeat one of its rows, and rows that two roles share; null counts as a value.

    Args:
        files: Role to the columns of each of its files, in the types that they are read as. Files without the columns
            that identify a row are left out.
        columns: Columns that together identify a row; empty for no check.
        executor: Executor of the passes.
        newest: Files of the newest day: the same passes also judge the files without them.
        effort: Limits of the search.
    """
    told = {r: {p: s for p, s in found.items() if not list(unfit(r, s, columns))} for r, found in files.items()}
    if not columns or not any(told.values()):
        return Findings()
    try:
        every, others = _count_repeats(_Search(told, columns, frozenset(newest), effort), executor)
        problems = tuple(_described(columns, every, told, effort))
        if not newest:
            return Findings(problems, problems)
        older = {role: {p: s for p, s in found.items() if p not in newest} for role, found in told.items()}
        return Findings(problems, tuple(_described(columns, others, older, effort)))
    except parquet.DamagedError as error:
        readable = {r: {p: s for p, s in found.items() if p != error.path} for r, found in files.items()}
        rest = find_repeats(readable, columns, executor, newest, effort)
        of_others = () if error.path in newest else (str(error),)
        return Findings((str(error), *rest.problems), (*of_others, *rest.without_newest))


@dataclass
class _Repeats:
    """The number of rows that repeat others, by hash, and some of the hashes.

    Args:
        compared: Largest number of hashes that are compared by value; one more is kept.
    """

    compared: int
    rows: int = 0
    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, rows: int, hashes: Hashes) -> None:
        self.rows += rows
        self.hashes = np.union1d(self.hashes, hashes)[: self.compared + 1]

    def count(self, by_value: int) -> int:
        """The number of repeated rows, by value if all were compared."""
        return by_value if len(self.hashes) <= self.compared else self.rows


RepeatsByRole = dict[str, _Repeats]


@dataclass(frozen=True)
class _Search:
    """The files of each role, the columns that identify their rows, the newest files, and the limits."""

    files: FilesByRole
    columns: Sequence[str]
    newest: frozenset[Path]
    effort: Effort

    def none(self) -> RepeatsByRole:
        """Empty counts for each role and for both."""
        return {name: _Repeats(self.effort.compared) for name in (*self.files, _BOTH)}


def _count_repeats(search: _Search, executor: Executor) -> tuple[RepeatsByRole, RepeatsByRole]:
    """The repeats of each role and of both, among all files and among all but the newest."""
    heights = {path: parquet.count_rows(path) for paths in search.files.values() for path in paths}
    passes = max(1, -(-sum(heights.values()) // search.effort.hashes))
    totals = search.none(), search.none()
    for found in executor.map(partial(_pass, search, heights, passes), range(passes)):
        for total, part in zip(totals, found, strict=True):
            for name, some in part.items():
                total[name].add(some.rows, some.hashes)
    return totals


def _pass(
    search: _Search, heights: Mapping[Path, int], passes: int, number: int
) -> tuple[RepeatsByRole, RepeatsByRole]:
    """The repeats among hashes with the pass's number as remainder, in all files and in all but the newest."""
    every, others = search.none(), search.none()
    hash_, size = _hash(search.columns, search.effort), search.effort.hashes
    distinct: list[tuple[Hashes, Hashes]] = []
    for role, paths in search.files.items():
        older, newer = DistinctHashes(others[role], size), DistinctHashes(every[role], size)
        for path, schema in paths.items():
            for start in range(0, heights[path], size):
                rows = parquet.scan_as(path, schema, start, size).select(hash_)
                some = parquet.collect(path, rows.filter(pl.col("hash") % passes == number))
                (newer if path in search.newest else older).add(some.get_column("hash").to_numpy())
        distinct.append(_distinct_of_role(older.finish(), newer.finish(), every[role], others[role]))
    for (all_before, older_before), (all_after, older_after) in pairwise(distinct):
        for repeats, first, second in ((every, all_before, all_after), (others, older_before, older_after)):
            shared = np.intersect1d(first, second, assume_unique=True)
            repeats[_BOTH].add(len(shared), shared)
    return every, others


def _distinct_of_role(older: Hashes, newer: Hashes, every: _Repeats, others: _Repeats) -> tuple[Hashes, Hashes]:
    """The distinct hashes of a role, of all files and of the older ones; repeats among each are noted."""
    every.add(others.rows, others.hashes)
    if not len(newer):
        return older, older
    shared = np.intersect1d(older, newer, assume_unique=True)
    every.add(len(shared), shared)
    return np.union1d(older, newer), older


class DistinctHashes:
    """The distinct hashes of one pass, sorted.

    Args:
        repeats: Record of repeated hashes.
        size: Number of hashes gathered before equal ones are merged.
    """

    def __init__(self, repeats: _Repeats, size: int) -> None:
        self._repeats, self._size = repeats, size
        self._distinct: Hashes = np.empty(0, np.uint64)
        self._pieces: list[Hashes] = []

    def __len__(self) -> int:
        """Number of hashes in memory."""
        return len(self._distinct) + sum(map(len, self._pieces))

    def add(self, hash_N: Hashes) -> None:
        """Gather more hashes."""
        self._pieces.append(hash_N)
        # Where one value fills the log, its hashes all fall into one pass: merged early, they are one.
        if sum(map(len, self._pieces)) >= self._size:
            self.finish()

    def finish(self) -> Hashes:
        """The distinct hashes so far."""
        hash_N = np.concatenate([self._distinct, *self._pieces])
        hash_N.sort()
        first_N = np.append(True, hash_N[1:] != hash_N[:-1])[: len(hash_N)]
        self._distinct, self._pieces = hash_N[first_N], []
        self._repeats.add(int(len(hash_N) - len(self._distinct)), hash_N[~first_N])
        return self._distinct


def _texts(columns: Sequence[str]) -> list[pl.Expr]:
    """Each value as text, with a text for null that no value has."""
    return [pl.concat_str(pl.lit("="), key_text(pl.col(c))).fill_null("null") for c in columns]


def _hash(columns: Sequence[str], effort: Effort) -> pl.Expr:
    return effort.hash(_joined(_texts(columns))).alias("hash")


def _compared(files: FilesByRole, columns: Sequence[str], hashes: Hashes, effort: Effort) -> pl.DataFrame:
    """The rows of some hashes by value: the number of each in every role, and their first and last file."""
    keys = [f"{_KEY}{place}" for place in range(len(columns))]
    texts = [text.alias(key) for text, key in zip(_texts(columns), keys, strict=True)]
    merge = [pl.col("rows").sum(), pl.col("first").first(), pl.col("last").last()]
    wanted = pl.lit(pl.Series(hashes, dtype=pl.UInt64)).implode()
    merged = None
    for role, paths in files.items():
        for path, schema in paths.items():
            chosen = (
                parquet.scan_as(path, schema)
                .select(*texts, _hash(columns, effort))
                .filter(pl.col("hash").is_in(wanted))
            )
            counted = parquet.collect(path, chosen.group_by(keys).agg(rows=pl.len().cast(pl.Int64)))
            where = {"first": pl.lit(str(path)), "last": pl.lit(str(path))}
            named = counted.select(*keys, pl.lit(role).alias("role"), "rows", **where)
            both = named if merged is None else pl.concat([merged, named])
            merged = both.group_by(*keys, "role", maintain_order=True).agg(merge)
    assert merged is not None, "there are files"
    return merged.sort(keys, maintain_order=True)


def _described(columns: Sequence[str], repeats: RepeatsByRole, files: FilesByRole, effort: Effort) -> Iterator[str]:
    hashes = np.concatenate([found.hashes[: effort.compared] for found in repeats.values()])
    if not len(hashes):
        return
    rows = _compared(files, columns, np.unique(hashes), effort)
    keys = [key for key in rows.columns if key.startswith(_KEY)]
    listed = " and ".join(f"`{c}`" for c in columns)
    for role in files:
        again = rows.filter(pl.col("role") == role, pl.col("rows") > 1)
        if count := repeats[role].count(int((again.get_column("rows") - 1).sum())):
            rule = f"`[contract] unique` tells rows apart by {listed}; drop the others, or name more"
            yield f"data.{role} repeats {count} row(s), as {_example(columns, again)}; {rule}"
    spread = rows.group_by(keys, maintain_order=True).agg(pl.len(), pl.col("first").first(), pl.col("last").last())
    again = spread.filter(pl.col("len") > 1)
    if count := repeats[_BOTH].count(again.height):
        rule = f"a row, known by {listed}, is either trained on or held out; drop it from one of them"
        yield f"data.train and data.holdout share {count} row(s), as {_example(columns, again)}; {rule}"


def _example(columns: Sequence[str], again: pl.DataFrame) -> str:
    """The first of the repeated rows with its place, as ``click_id 17 in a.parquet and b.parquet``."""
    row = again.row(0, named=True)
    values = [row[f"{_KEY}{place}"].removeprefix("=") for place in range(len(columns))]
    told = ", ".join(f"{column} {value}" for column, value in zip(columns, values, strict=True))
    return f"{told} in {' and '.join(dict.fromkeys((row['first'], row['last'])))}"


def _joined(texts: Sequence[pl.Expr]) -> pl.Expr:
    """Several texts joined with their lengths, so that ("ab", "c") and ("a", "bc") differ; null where one is null."""
    return pl.concat_str([pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text) for text in texts])
