"""Counts of training rows: each frame is counted by itself, in any process and any order, with the same result."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from features import naming
from features.kinds.base import LARGEST
from features.naming import Naming
from features.spec import FeatureSpec

# The place where a value is first seen: the entries of one list that are told apart, and the places of a whole row.
_ENTRIES, PLACES = 1 << 10, 1 << 16


@dataclass(frozen=True)
class Moments:
    """Count, mean, squared deviations and range of a number."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    @classmethod
    def of(cls, values: pl.Series) -> Moments:
        """The moments of the known values."""
        known = values.drop_nulls().to_numpy()
        if not len(known):
            return cls()
        low, high = float(known.min()), float(known.max())
        if max(abs(low), abs(high)) > LARGEST:
            # Their sum of squares is beyond float64. The fit refuses such a number by its range.
            return cls(len(known), low=low, high=high)
        mean = float(known.mean())
        return cls(len(known), mean, float(((known - mean) ** 2).sum()), low, high)

    def merged(self, later: Moments) -> Moments:
        """The moments of both together (Chan et al., 1983). Rounding depends on the order of merging."""
        if not later.count:
            return self
        count = self.count + later.count
        share, shift = later.count / count, later.mean - self.mean
        squares = self.squares + (later.squares + shift * shift * self.count * share)
        low, high = min(self.low, later.low), max(self.high, later.high)
        return Moments(count, self.mean + shift * share, squares, low, high)


@dataclass(frozen=True)
class FrameCounts:
    """The contribution of a frame of training rows to a fit.

    Args:
        rows: Number of rows.
        counts: Table to ``value``, ``count``, and ``first``, the place within the frame where the value is first seen.
        moments: For each feature with a scale, the moments of its number.
        samples: For each feature with a scale, every n-th of its numbers, for its quantiles.
    """

    rows: int
    counts: dict[str, pl.DataFrame]
    moments: dict[str, Moments]
    samples: dict[str, pl.Series]


@dataclass(frozen=True)
class Counting:
    """Counts frames of training rows.

    Args:
        spec: The declaration.
        schema: Schema of the raw rows.
        naming: The rule of :mod:`features.naming`.
        numbers: Features whose scale is still to be learnt.
        stride: n where every n-th row of a frame, starting with the first, is sampled for the quantiles.
    """

    spec: FeatureSpec
    schema: pl.Schema
    naming: Naming
    numbers: Sequence[str]
    stride: int

    def part(self, frame: pl.DataFrame) -> FrameCounts:
        """Count the rows of a frame."""
        typed, vocabularies = self.spec.typed(self.schema), self.spec.vocabularies
        frame, schema = frame.cast(pl.Schema(typed)), pl.Schema({**self.schema, **typed})
        counted = pl.collect_all([self._count(frame.lazy(), schema, names) for names in vocabularies.values()])
        numbers = {n: self.spec.features[n].numbers(n, schema, self.naming) for n in self.numbers}
        values = frame.select(
            **{f"value.{n}": value for n, (value, _) in numbers.items()},
            **{f"plain.{n}": plain for n, (_, plain) in numbers.items()},
        )
        with ThreadPoolExecutor() as pool:  # numpy lets other threads work
            moments = list(pool.map(lambda n: Moments.of(values.get_column(f"value.{n}")), self.numbers))
        return FrameCounts(
            rows=frame.height,
            counts=dict(zip(vocabularies, counted, strict=True)),
            moments=dict(zip(self.numbers, moments, strict=True)),
            samples={n: values.get_column(f"plain.{n}").gather_every(self.stride).drop_nulls() for n in self.numbers},
        )

    def _count(self, rows: pl.LazyFrame, schema: pl.Schema, features: Sequence[str]) -> pl.LazyFrame:
        """The values of one table with count and first place; the order in which the engine groups does not matter."""
        counted = []
        for order, name in enumerate(features):
            # Rows, then features, then entries are numbered consecutively, so that a place is one number. No column is
            # added to the rows: any name may be one of theirs.
            place = pl.int_range(pl.len(), dtype=pl.Int64) * PLACES + order * _ENTRIES
            feature = self.spec.features[name]
            value, dtype = feature.values(name, schema)
            if feature.is_multi_hot:
                length = value.list.len().fill_null(0)
                lists = rows.select(place=place, value=value, length=length, begin=length.cum_sum() - length)
                entries = lists.filter(pl.col("length") > 0).explode("value").with_row_index("entry")
                nth = (pl.col("entry") - pl.col("begin")).clip(upper_bound=_ENTRIES - 1)
                part = entries.select("value", place=pl.col("place") + nth)
            else:
                part = rows.select(place=place, value=value)
            groups = part.drop_nulls("value").group_by("value")
            values = groups.agg(count=pl.len().cast(pl.Int64), first=pl.col("place").min())
            # Named last, when each value occurs once.
            named = values.with_columns(value=naming.name(pl.col("value"), dtype, self.naming)).drop_nulls("value")
            counted.append(named)
        return merged(counted)


def merged(counts: list[pl.LazyFrame]) -> pl.LazyFrame:
    """The sum of a table's counts; of the first places, the lowest."""
    return pl.concat(counts).group_by("value").agg(pl.col("count").sum(), pl.col("first").min())
