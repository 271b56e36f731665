"""What is learnt from training rows, a frame at a time: counts of values, moments and a sample of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from features import transforms
from features.encoder import Encoder, Scale, each_value, number
from features.kinds import Categorical, MultiHot, Numeric
from features.spec import FeatureSpec

# Values kept of each number to find its quantiles: their error is then below 1e-3 of the rows.
_SAMPLE = 1_000_000
# Entries told apart within a row, and places within all features of a row.
_ENTRIES, _PLACES = 1 << 10, 1 << 16
_NOTHING = pl.DataFrame(schema={"value": pl.String, "count": pl.Int64, "first": pl.Int64})
_NO_VALUES = _NOTHING.get_column("value")


def fit(spec: FeatureSpec, rows: pl.LazyFrame) -> Encoder:
    """Learn vocabularies, scales and buckets from training rows that fit in memory, and from nothing else."""
    frame = rows.collect()
    fitter = Fitter(spec, frame.schema, frame.height)
    fitter.update(frame)
    return fitter.finish()


@dataclass(frozen=True)
class Learnt:
    """What earlier rows taught, to be added to: ids keep their meaning, numbers their scales and buckets.

    Args:
        encoder: Fitted on them.
        pending: Values that its vocabularies do not hold, as :meth:`Fitter.pending` gave them.
        rows: How many rows they were.
    """

    encoder: Encoder
    pending: pl.DataFrame
    rows: int


class Fitter:
    """Fits an :class:`~features.encoder.Encoder` in memory that depends on the values and not on the rows.

    Args:
        spec: The declaration.
        schema: Schema of the raw rows.
        rows: At most how many rows will come; numbers are sampled evenly where these are more than a million.
        learnt: What is added to, if anything.
    """

    def __init__(self, spec: FeatureSpec, schema: pl.Schema, rows: int, learnt: Learnt | None = None) -> None:
        self._spec, self._schema = spec, schema
        self._stride = max(1, -(-rows // _SAMPLE))
        self._seen = 0 if learnt is None else learnt.rows
        self._counts = {
            table: _NOTHING if learnt is None else _of(learnt.pending, table) for table in spec.vocabularies
        }
        self._known = {t: _NO_VALUES if learnt is None else learnt.encoder.vocabularies[t] for t in spec.vocabularies}
        self._scales = {} if learnt is None else learnt.encoder.scales
        numbers = [n for n, f in spec.features.items() if isinstance(f, Numeric) and n not in self._scales]
        self._numbers = {name: _Moments() for name in numbers}

    def update(self, frame: pl.DataFrame) -> None:
        """Take in some training rows; the order of the rows decides the order of the vocabularies."""
        lazy = frame.lazy().with_row_index("row", offset=self._seen)
        vocabularies = self._spec.vocabularies
        counted = pl.collect_all([self._count(lazy, features) for features in vocabularies.values()])
        for table, counts in zip(vocabularies, counted, strict=True):
            new = counts.filter(~pl.col("value").is_in(self._known[table].implode()))
            self._counts[table] = _merged([self._counts[table].lazy(), new.lazy()]).collect()
        values = frame.select(
            **{f"value.{n}": number(self._spec, n, self._schema) for n in self._numbers},
            **{f"plain.{n}": number(self._spec, n, self._schema, plain=True) for n in self._numbers},
        )
        offset = -self._seen % self._stride

        def update(name: str) -> None:
            sample = values.get_column(f"plain.{name}").gather_every(self._stride, offset)
            self._numbers[name].update(values.get_column(f"value.{name}"), sample)

        with ThreadPoolExecutor() as pool:  # numpy lets other threads work
            list(pool.map(update, self._numbers))
        self._seen += frame.height

    def finish(self) -> Encoder:
        """The encoder of the rows seen."""
        vocabularies = {
            table: self._vocabulary(table, features[0]) for table, features in self._spec.vocabularies.items()
        }
        declared = {n: f for n, f in self._spec.features.items() if isinstance(f, Numeric)}
        scales = {n: self._scales[n] if n in self._scales else self._numbers[n].scale(f) for n, f in declared.items()}
        columns = dict.fromkeys(c for n in self._spec.features for c in self._spec.columns(n))
        return Encoder(self._spec, vocabularies, scales, {c: str(self._schema[c]) for c in columns})

    def pending(self) -> pl.DataFrame:
        """Values seen too rarely for a vocabulary so far: ``table``, ``value``, ``count`` and where ``first``."""
        added = self.finish().vocabularies
        left = [
            counts.filter(~pl.col("value").is_in(added[table].implode())).select(pl.lit(table).alias("table"), "*")
            for table, counts in self._counts.items()
        ]
        return pl.concat([_NOTHING.select(pl.lit("").alias("table"), "*"), *left]).sort("table", "first", "value")

    def _count(self, rows: pl.LazyFrame, features: Sequence[str]) -> pl.LazyFrame:
        """Values of one table: how often each was seen and where first, whatever order the engine groups in."""
        counted = []
        for order, name in enumerate(features):
            # Rows, then features, then entries are counted through: where a value was seen first is one number.
            place = pl.col("row").cast(pl.Int64) * _PLACES + order * _ENTRIES
            value = each_value(self._spec, name, self._schema, transforms.key)
            if isinstance(self._spec.features[name], MultiHot):
                length = value.list.len().fill_null(0)
                lists = rows.select(place=place, value=value, length=length, begin=length.cum_sum() - length)
                entries = lists.filter(pl.col("length") > 0).explode("value").with_row_index("entry")
                nth = (pl.col("entry") - pl.col("begin")).clip(upper_bound=_ENTRIES - 1)
                part = entries.select("value", place=pl.col("place") + nth)
            else:
                part = rows.select(place=place, value=value)
            groups = part.drop_nulls("value").group_by("value")
            counted.append(groups.agg(count=pl.len().cast(pl.Int64), first=pl.col("place").min()))
        # As text only now that each value is there once.
        return _merged([part.with_columns(pl.col("value").cast(pl.String)) for part in counted])

    def _vocabulary(self, table: str, feature: str) -> pl.Series:
        """What was known, then what is new, in the order it was seen."""
        declared, known = self._spec.features[feature], self._known[table]
        assert isinstance(declared, Categorical | MultiHot)
        new = self._counts[table].filter(pl.col("count") >= declared.min_count)
        if declared.max_size:
            new = new.sort("count", "first", "value", descending=[True, False, False])
            new = new.head(max(declared.max_size - len(known), 0))
        return pl.concat([known, new.sort("first", "value").get_column("value")])


def _of(pending: pl.DataFrame, table: str) -> pl.DataFrame:
    return pending.filter(pl.col("table") == table).drop("table")


def _merged(counts: list[pl.LazyFrame]) -> pl.LazyFrame:
    return pl.concat(counts).group_by("value").agg(pl.col("count").sum(), pl.col("first").min())


class _Moments:
    """Count, mean and squared deviations of a number, merged frame by frame (Chan et al., 1983), and its sample."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._low, self._high = float("inf"), float("-inf")
        self._sample: list[pl.Series] = []

    def update(self, values: pl.Series, sample: pl.Series) -> None:
        """Take in the values of some rows, and those kept for the quantiles."""
        self._sample.append(sample.drop_nulls())
        known = values.drop_nulls().to_numpy()
        if not len(known):
            return
        mean = float(known.mean())
        share = len(known) / (self._count + len(known))
        shift = mean - self._mean
        self._squares += float(((known - mean) ** 2).sum()) + shift * shift * self._count * share
        self._mean += shift * share
        self._count += len(known)
        self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))

    def scale(self, declared: Numeric) -> Scale:
        """What the encoder needs of it."""
        varies = self._high > self._low  # the deviation of a constant is rounding, not 0
        deviation = (self._squares / self._count) ** 0.5 if varies else 1.0
        sample = pl.concat(self._sample) if self._sample else pl.Series(dtype=pl.Float64)
        edges = transforms.bucket_edges(sample, declared.buckets) if declared.buckets else []
        return Scale(mean=self._mean, deviation=deviation, edges=tuple(edges))
