"""The types that columns of text can be read as: found from every value, or declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from features.transforms import Unit, timestamp
from pipeline.files.notations import DECIMAL_COMMA, moments, number_notation, time_notations

# By name; `comma` is a number with a decimal comma. A format of `strptime` is a type, too: of times.
COLUMN_TYPES = ("text", "integer", "number", "comma", "boolean", "date", "time", "s", "ms", "us", "ns")
UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns")
FOUND_TYPES = ("boolean", "integer", "number", "date", "time")
# In this order the first that takes every value is found. Digits with a leading zero, such as those of a zip code, are
# no integer, and numbers since 1970 are integers.
_NUMBER = r"^-?(?:(?:0|[1-9][0-9]*)(?:{0}[0-9]+)?|{0}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_PATTERNS: dict[str, str] = {
    "boolean": r"^(?:true|false|True|False|TRUE|FALSE)$",
    "integer": r"^(?:0|-?[1-9][0-9]{0,18})$",
    "number": _NUMBER.format(r"\."),
    "comma": _NUMBER.format(","),
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "time": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
}
_KINDS: dict[str, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "comma": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
}
# A float has 53 bits: of an integer with more digits it would be another one.
_LONG_INTEGER = r"^-?[0-9]{16,}$"
_LEADING_ZERO = r"^-?0[0-9]+$"
# Values beside a type that most others have are probably marks of a missing one.
_MOST = 0.5
_SOME = 200  # distinct values in which a notation is looked for


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
        some: Some distinct values, without blanks around them.
    """

    kinds: tuple[str, ...] = ()
    known: int = 0
    nulls: int = 0
    fitting: Mapping[str, int] = field(default_factory=dict)
    misfits: Mapping[str, str] = field(default_factory=dict)
    zeros: int = 0
    some: tuple[str, ...] = ()

    def add(self, values: pl.Series) -> Seen:
        """With further values."""
        given = values.drop_nulls()
        known = given.str.strip_chars()
        fitting, misfits = dict(self.fitting), dict(self.misfits)
        for kind in self.kinds:
            if fitting.get(kind, 0) < self.known * _MOST:
                continue  # too few before: it will not be the type, and not nearly
            fits = _fits(known, kind)
            fitting[kind] = fitting.get(kind, 0) + int(fits.sum())
            if kind not in misfits and not fits.all():
                misfits[kind] = given.filter(~fits).item(0)
        zeros = self.zeros + int(known.str.contains(_LEADING_ZERO).sum())
        some = self.some or tuple(known.unique(maintain_order=True).head(_SOME))
        rows, nulls = self.known + len(known), self.nulls + values.null_count()
        return Seen(self.kinds, rows, nulls, fitting, misfits, zeros, some)

    @property
    def found(self) -> str:
        """The first type that takes every value; text if none does, or there is no value."""
        return next((kind for kind, rows in self.fitting.items() if rows == self.known and self.known), "text")

    def evidence(self, name: str) -> str:
        """The reason for the type, in words, and what gives a text another one.

        Args:
            name: The column's name.
        """
        missing = f", {self.nulls:,} missing" if self.nulls else ""
        if not self.known:
            return f"no value in {self.nulls:,} rows"
        if self.found != "text":
            return f"all of {self.known:,} values{missing}"
        if self.zeros and "integer" in self.kinds:
            return f"{self.known:,} values{missing}; {self.zeros:,} have a leading zero, which a number would lose"
        return "; ".join(filter(None, [f"{self.known:,} values{missing}", self._nearly or self._notation(name)]))

    @property
    def _nearly(self) -> str:
        """The type that most values have, and a value that it does not take."""
        near = next((k for k, rows in self.fitting.items() if _MOST * self.known <= rows < self.known), None)
        if near is None:
            return ""
        rest, example = self.known - self.fitting[near], self.misfits[near]
        fix = f"`--null {example!r}` if that means missing"
        return f"all but {rest:,} are of type {near}, as {example!r}: {fix}"

    def _notation(self, name: str) -> str:
        """How numbers or times are written, if the texts are some."""
        some = pl.Series(self.some, dtype=pl.String)
        times = [f"`--type '{name}={form}'`" for form in time_notations(some)]
        if times:
            return f"times, as {self.some[0]!r}: {' or '.join(times)}"
        if (numbers := number_notation(some)) is None:
            return ""
        fix = "`--decimal ,`" if numbers.words == DECIMAL_COMMA else "write them as plain numbers"
        return f"numbers with {numbers.words}, as {numbers.example!r}: {fix}"


def _fits(known: pl.Series, kind: str) -> pl.Series:
    """Whether each text is a value of a type."""
    fits = known.str.contains(_PATTERNS[kind])
    if kind in ("date", "time") and fits.any():
        return fits & _moments(known, pl.String()).is_not_null()
    if kind == "integer":
        return fits & known.cast(pl.Int64, strict=False).is_not_null()
    return fits & ~known.str.contains(_LONG_INTEGER) if kind in ("number", "comma") else fits


def _moments(values: pl.Series, kind: pl.DataType, unit: Unit | None = None) -> pl.Series:
    return values.to_frame("value").select(timestamp("value", kind, unit)).to_series()


def kind_of(declared: str) -> pl.DataType:
    """The Polars type of a column."""
    return _KINDS.get(declared, pl.Datetime("us"))


def as_type(values: pl.Series, declared: str) -> pl.Series:
    """Values in a type; null where one is none of it.

    Args:
        values: Texts, or numbers, dates and the like of a file that has types.
        declared: The type. ``"s"`` to ``"ns"`` are numbers since 1970 in that unit, and formats of ``strptime`` are
            texts or digits, which become times in UTC.
    """
    if "%" in declared:
        return moments(values.cast(pl.String), declared)
    if values.dtype == pl.String and declared != "text":
        values = values.str.strip_chars()
    if (unit := next((one for one in UNITS if one == declared), None)) is not None:
        numbers = values if values.dtype.is_numeric() else values.cast(pl.Int64, strict=False)
        return _moments(numbers, numbers.dtype, unit).alias(values.name)
    if declared in ("date", "time"):
        return _as_moments(values, kind_of(declared))
    if declared == "boolean" and values.dtype == pl.String:
        texts = values.str.to_lowercase()
        return pl.select(pl.when(texts.is_in(["true", "false"])).then(texts == "true")).to_series().alias(values.name)
    if declared == "comma" and values.dtype == pl.String:
        is_number = values.str.contains(_PATTERNS["comma"])
        plain = pl.select(pl.when(is_number).then(values.str.replace(",", "."))).to_series()
        return plain.cast(pl.Float64).alias(values.name)
    return values.cast(kind_of(declared), strict=False)


def _as_moments(values: pl.Series, kind: pl.DataType) -> pl.Series:
    is_read = values.dtype in (pl.String, pl.Date, pl.Datetime)
    found = _moments(values, values.dtype) if is_read else values.cast(kind)
    if isinstance(found.dtype, pl.Datetime) and found.dtype.time_zone:
        found = found.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return found.cast(kind).alias(values.name)


def merged(one: Seen, other: Seen) -> Seen:
    """Two files' values of a column."""
    kinds = [kind for kind in (*FOUND_TYPES, "comma") if kind in one.fitting or kind in other.fitting]
    fitting = {kind: one.fitting.get(kind, 0) + other.fitting.get(kind, 0) for kind in kinds}
    found = replace(one, known=one.known + other.known, nulls=one.nulls + other.nulls, fitting=fitting)
    found = replace(found, some=one.some or other.some, zeros=one.zeros + other.zeros)
    return replace(found, misfits={**other.misfits, **one.misfits})
