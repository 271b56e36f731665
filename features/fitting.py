"""Fitting an encoder to training rows, a frame at a time: counts of values, moments and a sample of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from features.counting import PLACES, Counting, FrameCounts, Moments, merged
from features.encoder import Encoder
from features.errors import InputError
from features.kinds.base import Scale
from features.naming import NEWEST
from features.spec import FeatureSpec

# Sampled values of each number, kept for its quantiles: their error is then below 1e-3 of the rows.
_SAMPLE = 1_000_000
_NOTHING = pl.DataFrame(schema={"value": pl.String, "count": pl.Int64, "first": pl.Int64})
_NO_VALUES = _NOTHING.get_column("value")


def fit(spec: FeatureSpec, rows: pl.LazyFrame) -> Encoder:
    """Learn vocabularies, scales and buckets from training rows that fit in memory."""
    frame = rows.collect()
    fitter = Fitter(spec, frame.schema, frame.height)
    fitter.update(frame)
    return fitter.finish()


@dataclass(frozen=True)
class Learnt:
    """An earlier fit that new rows are added to: ids keep their meaning, numbers their scales and buckets.

    Args:
        encoder: Fitted on the earlier rows; new rows are read by its rule of :mod:`features.naming`.
        pending: Values outside its vocabularies, as :meth:`Fitter.pending` gave them.
        rows: The number of earlier rows.
    """

    encoder: Encoder
    pending: pl.DataFrame
    rows: int


class Fitter:
    """Fits an :class:`~features.encoder.Encoder` in memory that depends on the values and not on the rows.

    Args:
        spec: The declaration.
        schema: Schema of the raw rows.
        rows: Upper bound of the rows to come; beyond a million, numbers are sampled evenly.
        learnt: The earlier fit that these rows are added to, if there is one.
    """

    def __init__(self, spec: FeatureSpec, schema: pl.Schema, rows: int, learnt: Learnt | None = None) -> None:
        self._spec, self._schema = spec, schema
        self._seen = 0 if learnt is None else learnt.rows
        self._counts = {
            table: _NOTHING if learnt is None else _of(learnt.pending, table) for table in spec.vocabularies
        }
        self._known = {t: _NO_VALUES if learnt is None else learnt.encoder.vocabularies[t] for t in spec.vocabularies}
        self._scales = {} if learnt is None else learnt.encoder.scales
        self._naming = NEWEST if learnt is None else learnt.encoder.naming
        numbers = [name for name in spec.scaled_features if name not in self._scales]
        self._moments = dict.fromkeys(numbers, Moments())
        self._samples: dict[str, list[pl.Series]] = {name: [] for name in numbers}
        self.counting = Counting(spec, schema, self._naming, numbers, stride=max(1, -(-rows // _SAMPLE)))

    def update(self, frame: pl.DataFrame) -> None:
        """Add a frame of training rows; the order of the rows decides the order of the vocabularies."""
        self.add(self.counting.part(frame))

    def add(self, part: FrameCounts) -> None:
        """Add counts that :attr:`counting` made of training rows; earlier rows have to come first."""
        for table, counts in part.counts.items():
            new = counts.filter(~pl.col("value").is_in(self._known[table].implode()))
            placed = new.with_columns(pl.col("first") + self._seen * PLACES)
            self._counts[table] = merged([self._counts[table].lazy(), placed.lazy()]).collect()
        for name, moments in part.moments.items():
            self._moments[name] = self._moments[name].merged(moments)
            self._samples[name].append(part.samples[name])
        self._seen += part.rows

    def finish(self) -> Encoder:
        """The encoder of the rows seen.

        Raises:
            InputError: If numbers are too large to have a scale. All such features are named.
        """
        if problems := [problem for name in self._moments if (problem := self._too_large(name))]:
            raise InputError.of("training rows hold numbers that leave no scale", problems)
        vocabularies = self._vocabularies()
        scales = {n: self._scales[n] if n in self._scales else self._scale(n) for n in self._spec.scaled_features}
        columns = dict.fromkeys(c for n in self._spec.features for c in self._spec.columns(n))
        return Encoder(self._spec, vocabularies, scales, {c: str(self._schema[c]) for c in columns}, self._naming)

    def pending(self) -> pl.DataFrame:
        """Values too rare for a vocabulary so far: ``table``, ``value``, ``count`` and first place, ``first``."""
        added = self._vocabularies()
        left = [
            counts.filter(~pl.col("value").is_in(added[table].implode())).select(pl.lit(table).alias("table"), "*")
            for table, counts in self._counts.items()
        ]
        return pl.concat([_NOTHING.select(pl.lit("").alias("table"), "*"), *left]).sort("table", "first", "value")

    def _too_large(self, name: str) -> str | None:
        moments, most = self._moments[name], self._spec.features[name].largest
        if not moments.count or max(abs(moments.low), abs(moments.high)) <= most:
            return None
        fix = "declare `clip`, for which numbers beyond it are the nearer end, or mend the rows"
        return f"feature `{name}` goes from {moments.low:.15g} to {moments.high:.15g}, beyond {most:g}; {fix}"

    def _vocabularies(self) -> dict[str, pl.Series]:
        return {
            table: self._spec.features[features[0]].vocabulary(self._known[table], self._counts[table])
            for table, features in self._spec.vocabularies.items()
        }

    def _scale(self, name: str) -> Scale:
        moments, samples = self._moments[name], self._samples[name]
        varies = moments.high > moments.low  # a constant's deviation is a rounding error, seldom 0
        deviation = (moments.squares / moments.count) ** 0.5 if varies else 1.0
        # The squares of numbers near 0, such as 1e-200, are 0, and one over the smallest numbers is infinite.
        deviation = max(deviation or moments.high - moments.low, 1e-300)
        sample = pl.concat(samples) if samples else pl.Series(dtype=pl.Float64)
        return self._spec.features[name].scale(moments.mean, deviation, sample)


def _of(pending: pl.DataFrame, table: str) -> pl.DataFrame:
    return pending.filter(pl.col("table") == table).drop("table")
