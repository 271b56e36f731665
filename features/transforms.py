"""One small function per kind of column, each returning the expression that encodes it.

Ids are the same everywhere: 0 padding, 1 null, 2 out of vocabulary, 3 and up the known values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
import polars_hash  # noqa: F401  # registers the `nchash` namespace

from features.constants import A_SECOND, CENTURIES, FARTHEST, MULTIPLIER, PRIME
from features.constants import FIRST_KNOWN as FIRST_KNOWN
from features.constants import NULL as NULL
from features.constants import OUT_OF_VOCABULARY as OUT_OF_VOCABULARY
from features.constants import PADDING as PADDING
from features.constants import PARTS as PARTS
from features.constants import Unit as Unit

_ISO = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
_ZONED = ("%+",)
# Offsets in hours alone, as PostgreSQL writes them, and times without seconds.
_ZONED_ANYHOW = (*_ZONED, *(f"%Y-%m-%d{between}{time}%#z" for between in "T " for time in ("%H:%M:%S%.f", "%H:%M")))
# In seconds. Read in a unit that is too small by a thousand or more, a time of today is within the first days of 1970.
_FIRST_DAYS = 10_000_000


def stable_hash(text: pl.Expr) -> pl.Expr:
    """The xxhash64 of a text. Unlike Polars' own hash, it is the same in every version of every library."""
    hashed: pl.Expr = text.nchash.xxhash64()  # type: ignore[attr-defined]  # a plugin's namespace
    return hashed


def group_number(text: pl.Expr) -> pl.Expr:
    """The Int64 number of a group: 63 bits of its text's hash, never negative; null for null."""
    return (stable_hash(text) // 2).cast(pl.Int64)


def hashed_id(text: pl.Expr, buckets: int) -> pl.Expr:
    """Id of a hashed text: ``FIRST_KNOWN`` + its hash modulo the buckets."""
    bucket = (stable_hash(text) % buckets).cast(pl.Int32) + FIRST_KNOWN
    return bucket.fill_null(NULL)


def crossed_id(texts: Sequence[pl.Expr], buckets: int) -> pl.Expr:
    """Id of a combination of texts, in their order: ``FIRST_KNOWN`` + a hash of their hashes; null if one is null."""
    whole, *others = (stable_hash(text) % PRIME for text in texts)
    for other in others:
        whole = whole % PRIME * MULTIPLIER + other  # below 2^63
    bucket = (whole % buckets).cast(pl.Int32) + FIRST_KNOWN
    return bucket.fill_null(NULL)


def timestamp(column: str, dtype: pl.DataType, unit: Unit | None = None, *, any_zone: bool = True) -> pl.Expr:
    """A date, a datetime, its ISO text or a number since 1970 as a datetime; null where unreadable.

    Args:
        column: The raw column.
        dtype: Its type. A number needs a unit.
        unit: Unit of numbers since 1970; dates, datetimes and texts are read as they are. A number outside of the years
            1900 to 2199 is no time.
        any_zone: Whether texts such as ``2026-01-31 18:30:00+00`` and ``2026-01-31T18:30Z`` are read; encoders of the
            first rule of :mod:`features.naming` do not know them.

    Returns:
        Datetimes in microseconds, in UTC where the column has a time zone or numbers.
    """
    value = pl.col(column)
    if dtype.is_numeric():
        assert unit is not None, "numbers are times in a unit"
        return _since_1970(value, dtype, unit)
    if dtype == pl.String:
        read = partial(_read_texts, zoned=_ZONED_ANYHOW if any_zone else _ZONED)
        return value.map_batches(read, return_dtype=pl.Datetime("us"), is_elementwise=True)
    # A sentinel such as Java's largest number of milliseconds does not fit.
    return value.cast(pl.Datetime("us"), strict=False)


def _read_texts(texts: pl.Series, zoned: Sequence[str]) -> pl.Series:
    """Each text by the first format that reads it; a format is tried only if others have left a text unread."""
    found = pl.Series(texts.name, [None], pl.Datetime("us")).new_from_index(0, len(texts))
    # Without a format Polars infers it from the first rows: a row's value would depend on its neighbours.
    for form in (*_ISO, *zoned):
        zone = "UTC" if form in zoned else None
        read = texts.str.to_datetime(form, strict=False, time_unit="us", time_zone=zone).dt.replace_time_zone(None)
        found = found.zip_with(found.is_not_null(), read)
        if found.null_count() == texts.null_count():
            break
    return found


def _since_1970(value: pl.Expr, dtype: pl.DataType, unit: Unit) -> pl.Expr:
    # A number above 64 bits is beyond the years, too.
    number = value.cast(pl.Int64 if dtype.is_integer() else pl.Float64, strict=False)
    known = pl.when(_is_in_the_years(number, unit)).then(number)
    if unit == "ns":
        return (known // 1000).cast(pl.Int64).cast(pl.Datetime("us"))
    return (known * (10**6 // A_SECOND[unit])).round().cast(pl.Int64).cast(pl.Datetime("us"))


def _is_in_the_years(number: pl.Expr, unit: Unit) -> pl.Expr:
    first, end = (seconds * A_SECOND[unit] for seconds in CENTURIES)
    return (number >= first) & (number < end)


def is_unlikely_time(number: pl.Expr, unit: Unit) -> pl.Expr:
    """Whether a number since 1970 looks like a time in another unit: outside of 1900 to 2199, or near 1970 itself."""
    return ~_is_in_the_years(number, unit) | (number.abs() < _FIRST_DAYS * A_SECOND[unit])


def example_time(unit: Unit) -> int:
    """Noon of 31 January 2026 as a number since 1970."""
    return 1_769_860_800 * A_SECOND[unit]


def part_id(moment: pl.Expr, part: str) -> pl.Expr:
    """Id of a part of a timestamp: ``FIRST_KNOWN`` + its number counted from 0."""
    number = {"hour": moment.dt.hour(), "weekday": moment.dt.weekday(), "month": moment.dt.month()}[part]
    return (number.cast(pl.Int32) - PARTS[part][1] + FIRST_KNOWN).fill_null(NULL)


def hours_between(first: pl.Expr, last: pl.Expr) -> pl.Expr:
    """Hours from one timestamp to another, negative if the second is earlier."""
    # In float64: the difference of two sentinels is beyond 64 bits.
    microseconds = [moment.cast(pl.Int64).cast(pl.Float64) for moment in (first, last)]
    return (microseconds[1] - microseconds[0]) / 1e6 / 3600


def finite(value: pl.Expr) -> pl.Expr:
    """The number as float64, with null where it is null, NaN or infinite."""
    number = value.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


def signed_log1p(value: pl.Expr) -> pl.Expr:
    """The symmetric logarithm ``sign(x) * log(1 + |x|)``, defined for negative numbers too."""
    return value.sign() * value.abs().log1p()


def standard_value(value: pl.Expr, mean: float, deviation: float) -> pl.Expr:
    """Standardised value in float32, at most a million deviations; the training mean, 0, where unknown."""
    return ((value - mean) / deviation).clip(-FARTHEST, FARTHEST).fill_null(0.0).cast(pl.Float32)


def median_and_range(values: pl.Series) -> tuple[float, float]:
    """Median and interquartile range of the known values; where that is 0, half of the range of all, and then 1."""
    known = values.drop_nulls().sort()
    if known.is_empty():
        return 0.0, 1.0
    low, middle, high = (known.quantile(share, interpolation="linear") or 0.0 for share in (0.25, 0.5, 0.75))
    whole = (known[-1] - known[0]) / 2
    # As for a deviation: one over the smallest numbers is infinite.
    return middle, max(high - low or whole or 1.0, 1e-300)


def robust_value(value: pl.Expr, median: float, spread: float) -> pl.Expr:
    """Value in spreads from the median, in float32, clipped smoothly to (-3, 3); the median, 0, where unknown."""
    # The square of a number beyond 1e154 is infinite.
    spreads = ((value - median) / spread).clip(-FARTHEST, FARTHEST)
    return (spreads / (1 + (spreads / 3) ** 2).sqrt()).fill_null(0.0).cast(pl.Float32)


def bucket_id(value: pl.Expr, edges: Sequence[float]) -> pl.Expr:
    """Id of the bucket: ``FIRST_KNOWN`` + the number of edges at or below the value."""
    bucket = pl.lit(pl.Series(edges, dtype=pl.Float64)).search_sorted(value, side="right")
    return pl.when(value.is_null()).then(pl.lit(NULL, pl.Int32)).otherwise(bucket.cast(pl.Int32) + FIRST_KNOWN)


def bucket_edges(values: pl.Series, buckets: int) -> list[float]:
    """Edges of at most ``buckets`` equal-frequency buckets of the known values.

    Zero-inflated columns (capital gains: 96 % zeros) would spend every quantile on one value. So a value held by more
    than ``1 / buckets`` of the rows gets its own bucket, and the quantiles are those of the other rows.
    """
    counts = values.drop_nulls().sort().rle().struct.unnest()
    distinct, count = counts.get_column("value"), counts.get_column("len").cast(pl.Int64)
    if len(distinct) <= buckets:
        return distinct[1:].to_list()
    is_heavy = count * buckets > count.sum()
    isolating = [*distinct.filter(is_heavy), *distinct.filter(is_heavy.shift(1, fill_value=False))]
    # Sorted once: a quantile of an unsorted series reads every value.
    others = values.filter(~values.is_in(distinct.filter(is_heavy).implode())).drop_nulls().sort()
    pieces = max(buckets - len(isolating), 1)
    quantiles = [others.quantile(k / pieces, interpolation="higher") for k in range(1, pieces)]
    return sorted({*isolating, *(q for q in quantiles if q is not None)} - {distinct[0]})


def bin_edges(values: pl.Series, bins: int) -> list[float]:
    """Edges of about ``bins`` bins of equal frequency: the lowest known value, :func:`bucket_edges` and the highest.

    Without a known value there are none, and one distinct value is a single edge.
    """
    known = values.drop_nulls().sort()
    return sorted({*known.head(1), *bucket_edges(known, bins), *known.tail(1)})


def apart(ascending: Sequence[float]) -> list[float]:
    """The numbers without those that are so close to the one before that float32 hardly tells them apart."""
    kept: list[float] = []
    for number in ascending:
        # The lower bound keeps one over the distance far inside float32.
        if not kept or number - kept[-1] > max(1e-6 * max(abs(number), abs(kept[-1])), 1e-8):
            kept.append(number)
    return kept


def separated(texts: pl.Expr, separator: str) -> pl.Expr:
    """The list of a text's entries, without the spaces around them; empty ones are left out."""
    entry = pl.element().str.strip_chars(" ")
    return texts.cast(pl.String).str.split(separator).list.eval(entry.filter(entry != ""))


def entries(lists: pl.Expr, most: int, *, all_kept: bool) -> pl.Expr:
    """The entries of lists, up to a limit if there is one; unknown entries are left out unless all are kept."""
    first = lists.list.head(most) if most else lists
    return first if all_kept else first.list.eval(pl.element().drop_nulls())


def length(column: str, dtype: pl.DataType) -> pl.Expr:
    """The number of entries of a list column, null for a null list."""
    return (
        pl.col(column).cast(pl.List(dtype.inner)).list.len()
        if isinstance(dtype, pl.Array)
        else pl.col(column).list.len()
    )


def given_weights(weights: pl.Expr, *, mean: bool) -> pl.Expr:
    """Float32 weights, 0 where missing, negative or not finite in float32; as shares of their sum for a mean."""
    number = pl.element().cast(pl.Float64)
    is_known = number.cast(pl.Float32).is_finite() & (number > 0)
    known = weights.list.eval(pl.when(is_known).then(number).otherwise(0.0))
    whole = pl.when(known.list.sum() > 0).then(known.list.sum()).otherwise(1.0) if mean else pl.lit(1.0)
    return (known / whole).cast(pl.List(pl.Float32))
