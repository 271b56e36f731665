"""Rows that a log holds twice, counted in memory that rows do not fill: by hash, then on the values themselves.

A pass takes the rows whose hash has a given remainder, few enough to be sorted; what repeats there is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.transforms import stable_hash
from pipeline.files import parquet
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor

Hashes = npt.NDArray[np.uint64]
Told = Mapping[str, list[Path]]

# Hashes in memory at a time: 8 bytes each, and as much again while they are sorted.
_HASHES = 1 << 24
# Repeated hashes whose rows are compared value by value. With more of them, chance is no part of the count: among 10^9
# different rows less than one pair of hashes in thirty such logs is equal.
_COMPARED = 10_000
_BOTH, _KEY = "both", "key "


def unfit(role: str, schema: pl.Schema, columns: Sequence[str]) -> Iterator[str]:
    """Columns of ``[contract] unique`` that are missing, or lists or structs, which have no hash."""
    for column in columns:
        if column not in schema:
            yield f"column `{column}` (`[contract] unique`) is missing from {role}; name columns that tell a row"
        elif schema[column].is_nested():
            yield f"column `{column}` (`[contract] unique`) holds {schema[column]}; a row is told by plain values"


def problems(
    files: Mapping[str, Mapping[Path, pl.Schema]], columns: Sequence[str], executor: Executor = LOCAL_EXECUTOR
) -> list[str]:
    """Rows of a role that repeat one of its rows, and rows that two roles share; a null is a value like any other.

    Args:
        files: Role to the schema of each of its files. Those without the columns are left out.
        columns: What tells a row from every other; none for no check.
        executor: Who takes the passes.
    """
    told = {r: [p for p, s in found.items() if not list(unfit(r, s, columns))] for r, found in files.items()}
    if not columns or not any(told.values()):
        return []
    try:
        return list(_described(columns, _survey(told, columns, executor), told))
    except parquet.DamagedError as error:
        others = {r: {p: s for p, s in found.items() if p != error.path} for r, found in files.items()}
        return [str(error), *problems(others, columns, executor)]


@dataclass
class _Repeats:
    """How many rows repeat others, by hash, and some of the hashes."""

    rows: int = 0
    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, rows: int, hashes: Hashes) -> None:
        self.rows += rows
        self.hashes = np.union1d(self.hashes, hashes)[: _COMPARED + 1]

    def count(self, compared: int) -> int:
        """The rows, by value where all were compared."""
        return compared if len(self.hashes) <= _COMPARED else self.rows


def _survey(told: Told, columns: Sequence[str], executor: Executor) -> dict[str, _Repeats]:
    """The repeats of each role, and of both."""
    heights = {path: parquet.count_rows(path) for paths in told.values() for path in paths}
    passes = max(1, -(-sum(heights.values()) // _HASHES))
    repeats = {name: _Repeats() for name in (*told, _BOTH)}
    for found in executor.map(partial(_pass, told, heights, columns, passes), range(passes)):
        for name, some in found.items():
            repeats[name].add(some.rows, some.hashes)
    return repeats


def _pass(
    told: Told, heights: Mapping[Path, int], columns: Sequence[str], passes: int, number: int
) -> dict[str, _Repeats]:
    """The repeats among the hashes whose remainder is the pass's number."""
    repeats = {name: _Repeats() for name in (*told, _BOTH)}
    distinct = []
    for role, paths in told.items():
        hashes = _Distinct(repeats[role])
        for path in paths:
            for start in range(0, heights[path], _HASHES):
                rows = parquet.scan(path).slice(start, _HASHES).select(_hash(columns))
                some = parquet.collect(path, rows.filter(pl.col("hash") % passes == number))
                hashes.add(some.get_column("hash").to_numpy())
        distinct.append(hashes.finish())
    for earlier, later in pairwise(distinct):
        shared = np.intersect1d(earlier, later, assume_unique=True)
        repeats[_BOTH].add(len(shared), shared)
    return repeats


class _Distinct:
    """The different hashes of one pass, sorted; what repeats is noted."""

    def __init__(self, repeats: _Repeats) -> None:
        self._repeats = repeats
        self._distinct: Hashes = np.empty(0, np.uint64)
        self._pieces: list[Hashes] = []

    def add(self, hash_N: Hashes) -> None:
        self._pieces.append(hash_N)
        # Where one value fills the log its hashes all fall into one pass: folded in time, they are one.
        if sum(map(len, self._pieces)) >= _HASHES:
            self.finish()

    def finish(self) -> Hashes:
        hash_N = np.concatenate([self._distinct, *self._pieces])
        hash_N.sort()
        first_N = np.append(True, hash_N[1:] != hash_N[:-1])[: len(hash_N)]
        self._distinct, self._pieces = hash_N[first_N], []
        self._repeats.add(int(len(hash_N) - len(self._distinct)), hash_N[~first_N])
        return self._distinct


def _texts(columns: Sequence[str]) -> list[pl.Expr]:
    """Each value as text that tells null from every value."""
    return [pl.concat_str(pl.lit("="), pl.col(c).cast(pl.String)).fill_null("null") for c in columns]


def _hash(columns: Sequence[str]) -> pl.Expr:
    return stable_hash(_joined(_texts(columns))).alias("hash")


def _compared(told: Told, columns: Sequence[str], hashes: Hashes) -> pl.DataFrame:
    """The rows of some hashes by value: for each role how many there are, and the first and the last file of them."""
    keys = [f"{_KEY}{place}" for place in range(len(columns))]
    texts = [text.alias(key) for text, key in zip(_texts(columns), keys, strict=True)]
    merge = [pl.col("rows").sum(), pl.col("first").first(), pl.col("last").last()]
    wanted = pl.lit(pl.Series(hashes, dtype=pl.UInt64)).implode()
    merged = None
    for role, paths in told.items():
        for path in paths:
            chosen = parquet.scan(path).select(*texts, _hash(columns)).filter(pl.col("hash").is_in(wanted))
            counted = parquet.collect(path, chosen.group_by(keys).agg(rows=pl.len().cast(pl.Int64)))
            where = {"first": pl.lit(str(path)), "last": pl.lit(str(path))}
            named = counted.select(*keys, pl.lit(role).alias("role"), "rows", **where)
            both = named if merged is None else pl.concat([merged, named])
            merged = both.group_by(*keys, "role", maintain_order=True).agg(merge)
    assert merged is not None, "there are files"
    return merged.sort(keys, maintain_order=True)


def _described(columns: Sequence[str], repeats: Mapping[str, _Repeats], told: Told) -> Iterator[str]:
    hashes = np.concatenate([found.hashes[:_COMPARED] for found in repeats.values()])
    if not len(hashes):
        return
    rows = _compared(told, columns, np.unique(hashes))
    keys = [key for key in rows.columns if key.startswith(_KEY)]
    listed = " and ".join(f"`{c}`" for c in columns)
    for role in told:
        again = rows.filter(pl.col("role") == role, pl.col("rows") > 1)
        if count := repeats[role].count(int((again.get_column("rows") - 1).sum())):
            rule = f"`[contract] unique` tells rows apart by {listed}; drop the others, or name more"
            yield f"data.{role} repeats {count} row(s), as {_example(columns, again)}; {rule}"
    spread = rows.group_by(keys, maintain_order=True).agg(pl.len(), pl.col("first").first(), pl.col("last").last())
    again = spread.filter(pl.col("len") > 1)
    if count := repeats[_BOTH].count(again.height):
        rule = f"told by {listed}, a row is trained on or held out; drop it from one of them"
        yield f"data.train and data.holdout share {count} row(s), as {_example(columns, again)}; {rule}"


def _example(columns: Sequence[str], again: pl.DataFrame) -> str:
    """The first of some repeated rows and where it is, as ``click_id 17 in a.parquet and b.parquet``."""
    row = again.row(0, named=True)
    values = [row[f"{_KEY}{place}"].removeprefix("=") for place in range(len(columns))]
    told = ", ".join(f"{column} {value}" for column, value in zip(columns, values, strict=True))
    return f"{told} in {' and '.join(dict.fromkeys((row['first'], row['last'])))}"


def _joined(texts: Sequence[pl.Expr]) -> pl.Expr:
    """One text for several; their lengths keep ("ab", "c") and ("a", "bc") apart. Null where one is."""
    return pl.concat_str([pl.concat_str(text.str.len_bytes().cast(pl.String), pl.lit(":"), text) for text in texts])
