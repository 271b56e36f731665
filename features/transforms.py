"""One small function per kind of column, each returning the expression that encodes it.

Ids are the same everywhere: 0 padding, 1 null, 2 out of vocabulary, 3 and up the known values.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

PADDING, NULL, OUT_OF_VOCABULARY, FIRST_KNOWN = 0, 1, 2, 3


def category_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """The text a categorical value is known by, so that 3, "3" and a request's 3.0 are one value.

    Floats appear only where a request brought integers through a table format without nullable integers.
    """
    value = pl.col(column)
    if dtype.is_float():
        known = pl.when(value.is_finite()).then(value)
        return (
            pl.when(known == known.floor())
            .then(known.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(
                known.cast(pl.String)  # 1.5 is no integer, so it is no known value either
            )
        )
    return value.cast(pl.String)


def category_id(text: pl.Expr, vocabulary: Sequence[str]) -> pl.Expr:
    """Id of a category: ``FIRST_KNOWN`` + its place in the vocabulary."""
    known = range(FIRST_KNOWN, FIRST_KNOWN + len(vocabulary))
    ids = text.replace_strict(list(vocabulary), list(known), default=OUT_OF_VOCABULARY, return_dtype=pl.Int32)
    return pl.when(text.is_null()).then(pl.lit(NULL, pl.Int32)).otherwise(ids)


def known_number(column: str) -> pl.Expr:
    """The column as float64, with null where it is null, NaN or infinite."""
    value = pl.col(column).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def signed_log1p(value: pl.Expr) -> pl.Expr:
    """``sign(x) * log(1 + |x|)``: defined for debts as for incomes."""
    return value.sign() * value.abs().log1p()


def standard_value(value: pl.Expr, mean: float, deviation: float) -> pl.Expr:
    """Standardised value in float32, at most a million deviations; the training mean, 0, where unknown."""
    return ((value - mean) / deviation).clip(-1e6, 1e6).fill_null(0.0).cast(pl.Float32)


def bucket_id(value: pl.Expr, edges: Sequence[float]) -> pl.Expr:
    """Id of the bucket: ``FIRST_KNOWN`` + the number of edges at or below the value."""
    bucket = pl.lit(pl.Series(edges, dtype=pl.Float64)).search_sorted(value, side="right")
    return pl.when(value.is_null()).then(pl.lit(NULL, pl.Int32)).otherwise(bucket.cast(pl.Int32) + FIRST_KNOWN)


def bucket_edges(values: pl.Series, buckets: int) -> list[float]:
    """Edges of at most ``buckets`` equal-frequency buckets of the known values.

    Zero-inflated columns (capital gains: 96 % zeros) would spend every quantile on one value. So a value held by more
    than its share of rows, ``1 / buckets``, gets a bucket alone, and the quantiles are those of the other rows.
    """
    counts = values.drop_nulls().sort().rle().struct.unnest()
    distinct, count = counts.get_column("value"), counts.get_column("len").cast(pl.Int64)
    if len(distinct) <= buckets:
        return distinct[1:].to_list()
    is_heavy = count * buckets > count.sum()
    isolating = [*distinct.filter(is_heavy), *distinct.filter(is_heavy.shift(1, fill_value=False))]
    others = values.filter(~values.is_in(distinct.filter(is_heavy).implode())).drop_nulls()
    pieces = max(buckets - len(isolating), 1)
    quantiles = [others.quantile(k / pieces, interpolation="higher") for k in range(1, pieces)]
    return sorted({*isolating, *(q for q in quantiles if q is not None)} - {distinct[0]})
