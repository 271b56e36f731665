"""Columns of a request from lists of Python values, as JSON gives them, or from Arrow's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from features.request.column import Column, Lists, UnreadError

# The years 1 to 9999, in microseconds since 1970: Polars and Python agree about the moments within.
_FIRST_MOMENT, _LAST_MOMENT = -62_135_596_800_000_000, 253_402_300_799_999_999
_IN_A_MICROSECOND = {"s": 1_000_000, "ms": 1000, "us": 1}
_DAY = 86_400_000_000


def column_of(values: Sequence[Any]) -> Column:
    """A column of Python values, with the type that Arrow finds for them.

    Args:
        values: None, bool, int, float, str, or lists of these. NaN is unknown.

    Raises:
        UnreadError: If they have no common type, or one that is not read here.
    """
    kinds = {*map(type, values)} - {type(None)}
    if not kinds:
        return Column("null", values)
    if kinds == {int, float}:
        _integers([value for value in values if type(value) is int])
        return _floats([None if value is None else float(value) for value in values])
    kind = kinds.pop()
    if kinds or kind not in _OF_KIND:
        raise UnreadError
    return _OF_KIND[kind](values)


def _integers(values: Sequence[int | None]) -> Column:
    try:
        np.array([value for value in values if value is not None], np.int64)
    except OverflowError as error:
        raise UnreadError from error
    return Column("integer", values)


def _floats(values: Sequence[float | None]) -> Column:
    number_N = np.array(values, np.float64)  # NaN where there is none
    finite_N = np.isfinite(number_N)
    if finite_N.all():
        return Column("float", values, number_N=number_N)
    if np.isnan(number_N).all():
        return Column("null", [None] * len(values))
    known = [value if finite else None for value, finite in zip(values, finite_N.tolist(), strict=True)]
    return Column("float", known, number_N=np.where(finite_N, number_N, np.nan))


def _texts(values: Sequence[str | None]) -> Column:
    whole = "".join(filter(None, values))
    if not whole.isascii():
        try:
            whole.encode()
        except UnicodeEncodeError as error:  # half a surrogate
            raise UnreadError from error
    return Column("text", values)


def _lists(values: Sequence[list[Any] | None]) -> Column:
    entries = column_of([*chain.from_iterable(filter(None, values))])
    if entries.kind == "list":
        raise UnreadError
    return Column("list", values, lists=Lists.of(values, entries))


_OF_KIND: dict[type, Callable[[Sequence[Any]], Column]] = {
    bool: lambda values: Column("boolean", values),
    int: _integers,
    float: _floats,
    str: _texts,
    list: _lists,
}


def column_of_arrow(array: pa.Array | pa.ChunkedArray) -> Column:
    """A column of Arrow's.

    Raises:
        UnreadError: If its type is not read here.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if array.null_count == len(array):
        return Column("null", [None] * len(array))
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        return replace(column_of(array.to_pylist()), kind="category")
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or _is_text(kind):
        return column_of(array.to_pylist())
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _arrow_floats(array, 2.0**24 if pa.types.is_float32(kind) else 2.0**53)
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return _moments(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _arrow_lists(array)
    raise UnreadError


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _arrow_floats(array: pa.Array, largest_whole: float) -> Column:
    values = array.to_numpy(zero_copy_only=False)
    finite = zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    return Column("float", [value if known else None for value, known in finite], largest_whole)


def _moments(array: pa.Array) -> Column:
    if pa.types.is_date32(array.type):
        numbers, factor = array.cast(pa.int32()).to_pylist(), _DAY
    else:
        numbers, factor = array.cast(pa.int64()).to_pylist(), _IN_A_MICROSECOND.get(array.type.unit, 0)
    moments = [None if n is None else n * factor if factor else n // 1000 for n in numbers]
    if any(moment is not None and not _FIRST_MOMENT <= moment <= _LAST_MOMENT for moment in moments):
        raise UnreadError
    return Column("time", moments)


def _arrow_lists(array: pa.Array) -> Column:
    rows = array.to_pylist()
    inner = array.flatten()  # without those of null lists
    if len(inner) and inner.null_count == len(inner):
        return Column("list", rows, lists=Lists.of(rows, Column("null", [None] * len(inner))))
    entries = column_of_arrow(inner)
    if entries.kind in ("list", "time"):
        raise UnreadError
    return Column("list", rows, lists=Lists.of(rows, entries))
