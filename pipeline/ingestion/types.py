"""The types that columns of text can be read as: found from every value, or declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import polars as pl

from features.transforms import timestamp

ColumnType = Literal["text", "integer", "number", "boolean", "date", "time", "s", "ms", "us", "ns"]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
FOUND_TYPES: tuple[ColumnType, ...] = ("boolean", "integer", "number", "date", "time")
# In this order the first that takes every value is found. Digits with a leading zero, such as those of a zip code, are
# no integer, and numbers since 1970 are integers.
_PATTERNS: dict[ColumnType, str] = {
    "boolean": r"^(?:true|false|True|False|TRUE|FALSE)$",
    "integer": r"^(?:0|-?[1-9][0-9]{0,18})$",
    "number": r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "time": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
}
_KINDS: dict[ColumnType, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    **dict.fromkeys(get_args(Literal["time", "s", "ms", "us", "ns"]), pl.Datetime("us")),
}
# A float has 53 bits: of an integer with more digits it would be another one.
_LONG_INTEGER = r"^-?[0-9]{16,}$"
_LEADING_ZERO = r"^-?0[0-9]+$"
# Values beside a type that almost all others have are probably marks of a missing one.
_ALMOST = 0.9


@dataclass(frozen=True)
class Seen:
    """What the values of a column of text are.

    Args:
        kinds: The types that may be found.
        known: The number of values.
        nulls: The number of missing ones.
        fitting: Type to the number of values that it takes.
        misfits: Type to the first value that it does not take.
        zeros: The number of values that are digits with a leading zero.
    """

    kinds: tuple[ColumnType, ...] = ()
    known: int = 0
    nulls: int = 0
    fitting: Mapping[ColumnType, int] = field(default_factory=dict)
    misfits: Mapping[ColumnType, str] = field(default_factory=dict)
    zeros: int = 0

    def add(self, values: pl.Series) -> Seen:
        """With further values."""
        known = values.drop_nulls()
        fitting, misfits = dict(self.fitting), dict(self.misfits)
        for kind in self.kinds:
            if fitting.get(kind, 0) < self.known * _ALMOST:
                continue  # too few before: it will not be the type, and not nearly
            fits = _fits(known, kind)
            fitting[kind] = fitting.get(kind, 0) + int(fits.sum())
            if kind not in misfits and not fits.all():
                misfits[kind] = known.filter(~fits).item(0)
        zeros = self.zeros + int(known.str.contains(_LEADING_ZERO).sum())
        return Seen(self.kinds, self.known + len(known), self.nulls + values.null_count(), fitting, misfits, zeros)

    @property
    def found(self) -> ColumnType:
        """The first type that takes every value; text if none does, or there is no value."""
        return next((kind for kind, rows in self.fitting.items() if rows == self.known and self.known), "text")

    @property
    def evidence(self) -> str:
        """The reason for the type, in words."""
        missing = f", {self.nulls:,} missing" if self.nulls else ""
        if not self.known:
            return f"no value in {self.nulls:,} rows"
        if self.found != "text":
            return f"all of {self.known:,} values{missing}"
        if self.zeros and "integer" in self.kinds:
            return f"{self.known:,} values{missing}; {self.zeros:,} have a leading zero, which a number would lose"
        near = next((k for k, rows in self.fitting.items() if _ALMOST * self.known <= rows < self.known), None)
        if near is None:
            return f"{self.known:,} values{missing}"
        rest, example = self.known - self.fitting[near], self.misfits[near]
        fix = f"`--null {example!r}` if that means missing"
        return f"{self.known:,} values{missing}; all but {rest:,} are of type {near}, as {example!r}: {fix}"


def _fits(known: pl.Series, kind: ColumnType) -> pl.Series:
    """Whether each text is a value of a type."""
    fits = known.str.contains(_PATTERNS[kind])
    if kind in ("date", "time") and fits.any():
        return fits & _moments(known, pl.String()).is_not_null()
    if kind == "integer":
        return fits & known.cast(pl.Int64, strict=False).is_not_null()
    return fits & ~known.str.contains(_LONG_INTEGER) if kind == "number" else fits


def _moments(values: pl.Series, kind: pl.DataType, unit: Literal["s", "ms", "us", "ns"] | None = None) -> pl.Series:
    return values.to_frame("value").select(timestamp("value", kind, unit)).to_series()


def kind_of(declared: ColumnType) -> pl.DataType:
    """The Polars type of a column."""
    return _KINDS[declared]


def as_type(values: pl.Series, declared: ColumnType) -> pl.Series:
    """Values in a type; null where one is none of it.

    Args:
        values: Texts, or numbers, dates and the like of a file that has types.
        declared: The type. ``"s"`` to ``"ns"`` are numbers since 1970 in that unit, which become times in UTC.
    """
    kind = values.dtype
    if declared in ("s", "ms", "us", "ns"):
        numbers = values if kind.is_numeric() else values.cast(pl.Int64, strict=False)
        return _moments(numbers, numbers.dtype, declared).alias(values.name)
    if declared in ("date", "time"):
        moments = _moments(values, kind) if kind in (pl.String, pl.Date, pl.Datetime) else values.cast(_KINDS[declared])
        if isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone:
            moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return moments.cast(_KINDS[declared]).alias(values.name)
    if declared == "boolean" and kind == pl.String:
        texts = values.str.to_lowercase()
        return pl.select(pl.when(texts.is_in(["true", "false"])).then(texts == "true")).to_series().alias(values.name)
    return values.cast(_KINDS[declared], strict=False)


def merged(one: Seen, other: Seen) -> Seen:
    """Two files' values of a column."""
    kinds = [kind for kind in FOUND_TYPES if kind in one.fitting or kind in other.fitting]
    fitting = {kind: one.fitting.get(kind, 0) + other.fitting.get(kind, 0) for kind in kinds}
    found = replace(one, known=one.known + other.known, nulls=one.nulls + other.nulls, fitting=fitting)
    return replace(found, misfits={**other.misfits, **one.misfits}, zeros=one.zeros + other.zeros)
