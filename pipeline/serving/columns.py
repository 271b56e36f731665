"""Columns of a request, of Python values or of pandas, as the encoder of requests or Polars reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pandas.api.types import is_scalar

from features.errors import InputError
from features.request.column import Column, UnreadError
from features.request.reading import column_of, column_of_arrow

# Errors of pyarrow for values without a common or known type; its own errors are subclasses of these.
_UNFIT = (ValueError, TypeError, OverflowError, NotImplementedError)
_WORDS = {bool: "true or false", int: "numbers", float: "numbers", str: "text", bytes: "bytes", dict: "objects"}
_SHOWN = 200


@dataclass(frozen=True)
class RequestRows:
    """The rows of a request.

    Args:
        columns: Columns of Python values or of pandas, each with all rows, or a single value for all of them.
        rows: The number of rows.
    """

    columns: Mapping[str, Any]
    rows: int

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> RequestRows:
        """The rows of columns of one length."""
        return cls(columns, max(map(len, columns.values()), default=0))

    def read(self) -> dict[str, Column]:
        """The columns for the encoder of requests.

        Raises:
            UnreadError: If it does not read them.
        """
        return {name: _column(values) for name, values in self.columns.items()}

    def frame(self) -> pl.DataFrame:
        """The rows for Polars.

        Raises:
            InputError: If columns have no common type. All are listed.
        """
        return frame_of({name: self._all(values) for name, values in self.columns.items()})

    def _all(self, values: Any) -> Any:
        return values if len(values) == self.rows else [*values] * self.rows


def _column(values: Any) -> Column:
    if isinstance(values, list):
        return column_of(values)
    try:
        return column_of_arrow(_arrow(values))
    except _UNFIT as error:
        raise UnreadError from error


def frame_of(columns: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of columns of Python values or of pandas, each with the common type of its values.

    Whole numbers may have up to 128 bits. With fractions beside them they are floats.

    Raises:
        InputError: If columns have no common type. All are listed.
    """
    series, problems = [], []
    for name, values in columns.items():
        try:
            series.append(_series(name, values))
        except _UNFIT as error:
            problems.append(f"column `{name}` holds {_found(values, error)}")
    if problems:
        raise InputError.of("cannot read the rows", problems)
    return pl.DataFrame(series)


def short(reason: object) -> str:
    """The beginning of a text that may repeat a whole request."""
    first = str(reason).partition("\n")[0]
    return first if len(first) <= _SHOWN else f"{first[:_SHOWN]}..."


def _series(name: str, values: Any) -> pl.Series:
    try:
        return pl.Series(name, _arrow(values))
    except _UNFIT:
        if {type(entry) for entry in _entries(values)} - {int, float}:
            raise
        return _wide(name, values)


def _arrow(values: Any) -> pa.Array | pa.ChunkedArray:
    """Arrow's array of the values, with the common type that it finds for them."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(None)  # pandas warns of what pyarrow does to a zone
    if dtype == np.dtype(object):
        # An empty array of numpy has the type of floats, whatever the others hold.
        values = [[] if isinstance(value, np.ndarray) and not value.size else value for value in values]
    return pa.array(values, from_pandas=True)


def _wide(name: str, values: Sequence[Any]) -> pl.Series:
    """Numbers, or lists of them, some of which have more bits than a signed integer or a float of pyarrow."""
    known = list(_entries(values))
    dtype: type[pl.DataType]
    if any(isinstance(number, float) for number in known):
        dtype = pl.Float64
    elif min(known) < -(1 << 127) or max(known) >= 1 << 127:
        raise OverflowError
    else:
        dtype = pl.UInt64 if min(known) >= 0 and max(known) < 1 << 64 else pl.Int128

    def one(value: Any) -> Any:
        if _is_list(value):
            return [one(entry) for entry in value]
        return None if _is_missing(value) else float(value) if dtype == pl.Float64 else int(value)

    return pl.Series(name, [one(value) for value in values], pl.List(dtype) if any(map(_is_list, values)) else dtype)


def _entries(values: Any) -> Iterator[Any]:
    """All values that are known, those of lists one by one, as Python has them."""
    for value in values:
        if _is_list(value):
            yield from _entries(value)
        elif not _is_missing(value):
            yield value.item() if isinstance(value, np.generic) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _is_missing(value: Any) -> bool:
    return bool(is_scalar(value) and pd.isna(value))


def _found(values: Any, error: Exception) -> str:
    """The kinds of values that a column mixes, or else the reason why they cannot be read, and the fix."""
    fix = "give all its rows values of one type, a missing one as null"
    kinds = dict.fromkeys(_WORDS.get(type(entry), type(entry).__name__) for entry in _entries(values))
    is_list = [_is_list(value) for value in values if not _is_missing(value)]
    if len(kinds) == 1 and len(set(is_list)) == 1:
        if isinstance(error, OverflowError) and "numbers" in kinds:
            return "a whole number of more than 128 bits; give its digits as text"
        return f"values that cannot be read ({short(error)}); {fix}"
    if len(set(is_list)) > 1:
        return f"{' and '.join(dict.fromkeys(['lists', *kinds]))}; {fix}"
    return f"{'lists of ' * any(is_list)}{' and '.join(kinds)}; {fix}"
