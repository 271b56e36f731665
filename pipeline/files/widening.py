"""One type for columns whose files have several: only where each value stays itself."""

from __future__ import annotations

import polars as pl

Kind = pl.DataType
_SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128)
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
# Digits of a decimal that hold every integer of a type; a decimal has at most 38.
_DIGITS = {pl.Int8: 3, pl.Int16: 5, pl.Int32: 10, pl.UInt8: 3, pl.UInt16: 5, pl.UInt32: 10}
_MOST_DIGITS, _LONG = 38, 19
_WHOLE = 2**53  # the last of the whole numbers that float64 holds without a gap


def united(one: Kind, other: Kind) -> Kind | None:
    """The type that takes the values of two types, or None.

    Integers become the smallest integer type for both, integers and floats Float64, datetimes and durations
    microseconds, categories text, arrays lists. Some values may not fit all the same: see :func:`lost`.
    """
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if one.is_numeric() and other.is_numeric():
        return _number(one, other)
    if one in _TEXTS and other in _TEXTS:
        return pl.String()
    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime):
        return pl.Datetime("us", one.time_zone) if one.time_zone == other.time_zone else None
    if isinstance(one, pl.Duration) and isinstance(other, pl.Duration):
        return pl.Duration("us")
    return _list(one, other)


def lost(column: str, own: Kind, common: Kind) -> pl.Expr | None:
    """Whether a row's value is another one after its column became a common type; None if no value can be.

    Args:
        column: A column of a file.
        own: Its type in the file.
        common: The common type.
    """
    if _is_safe(own, common):
        return None
    value = pl.col(column)
    if own.is_integer() and common == pl.Float64:
        # Beyond, a float names a number that was rounded, even where this one was not.
        return ~value.is_between(-_WHOLE, _WHOLE).fill_null(value=True)
    return value.cast(common, strict=False).cast(own, strict=False).ne_missing(value)


def _number(one: Kind, other: Kind) -> Kind | None:
    if one.is_float() or other.is_float():
        return pl.Float64()
    if isinstance(one, pl.Decimal) or isinstance(other, pl.Decimal):
        (whole, scale), (other_whole, other_scale) = _digits(one), _digits(other)
        most = max(scale, other_scale)
        return pl.Decimal(min(max(whole, other_whole) + most, _MOST_DIGITS), most)
    return _integer(one, other)


def _integer(one: Kind, other: Kind) -> Kind | None:
    kinds = [kind for kind in (*_SIGNED, *_UNSIGNED) if _holds(kind, one) and _holds(kind, other)]
    return min((kind() for kind in kinds), key=lambda kind: _bits(kind)[0], default=None)


def _bits(kind: Kind) -> tuple[int, bool]:
    """The number of bits of an integer type, and whether it has a sign."""
    for signed, family in ((True, _SIGNED), (False, _UNSIGNED)):
        if kind in family:
            return 8 << [k == kind for k in family].index(True), signed
    return 256, True  # UInt128: no type holds it beside others


def _holds(kind: type[Kind], other: Kind) -> bool:
    (bits, signed), (other_bits, other_signed) = _bits(kind()), _bits(other)
    return bits - signed >= other_bits - other_signed if signed or not other_signed else False


def _digits(kind: Kind) -> tuple[int, int]:
    """Digits before and behind the point."""
    if isinstance(kind, pl.Decimal):
        return (kind.precision or _MOST_DIGITS) - kind.scale, kind.scale
    return next((digits for known, digits in _DIGITS.items() if kind == known), _LONG), 0


def _list(one: Kind, other: Kind) -> Kind | None:
    if not isinstance(one, pl.List | pl.Array) or not isinstance(other, pl.List | pl.Array):
        return None
    both = united(_inner(one), _inner(other))
    return None if both is None else pl.List(both)


def _inner(kind: pl.List | pl.Array) -> Kind:
    return kind.inner() if isinstance(kind.inner, type) else kind.inner


def _is_safe(own: Kind, common: Kind) -> bool:
    """Whether the types alone tell that no value changes."""
    if own in (common, pl.Null) or common == pl.String:
        return True
    if isinstance(own, pl.List | pl.Array) and isinstance(common, pl.List):
        return _is_safe(_inner(own), _inner(common))
    if common == pl.Float64:
        return own.is_float() or (own.is_integer() and _digits(own)[0] < _LONG)
    return own.is_integer() and common.is_integer()
