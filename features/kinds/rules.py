"""Rules about the types of raw columns that several kinds share. The `broken_` functions return the broken rule."""

from __future__ import annotations

import polars as pl

from features.kinds.base import RawType
from features.transforms import Unit, example_time

_CATEGORIES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Binary, pl.Null)


def is_category(dtype: RawType) -> bool:
    """Whether values of a type have the same name in every table format. Dates and times do not.

    Floats and decimals are whole numbers there: the values of training rows are checked.
    """
    return dtype.is_numeric() or dtype in _CATEGORIES


def broken_category(dtype: pl.DataType) -> str | None:
    """The rule of categories, one value a row, if the type breaks it."""
    rule = "a categorical is text, a boolean, a whole number or bytes: cast it to text"
    return None if is_category(dtype) else rule


def broken_timestamp(dtype: pl.DataType, unit: Unit | None = None) -> str | None:
    """The rule of timestamps, one a row, if the type breaks it.

    Args:
        dtype: The type of the column.
        unit: The declared unit of numbers since 1970; without one, numbers are no timestamps.
    """
    if dtype in (pl.Date, pl.Datetime, pl.String) or (dtype.is_numeric() and unit is not None):
        return None
    rule = "a timestamp is a date, a datetime or its ISO text"
    number = 'a number since 1970 needs its `unit`: "s", "ms", "us" or "ns"'
    return f"{rule}; {number}" if dtype.is_numeric() else rule


def example_timestamp(dtype: str, unit: Unit | None) -> str | int:
    """A made-up timestamp in the form of requests, given the name of the column's type in the training rows."""
    is_number = dtype.startswith(("Int", "UInt", "Float", "Decimal"))
    return example_time(unit) if unit is not None and is_number else "2026-01-31T12:00:00"
