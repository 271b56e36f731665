"""Rules about the types of raw columns that several kinds share. The `broken_` functions return the broken rule."""

from __future__ import annotations

import polars as pl

from features.kinds.base import RawType

TIMESTAMP = "2026-01-31T12:00:00"  # a made-up timestamp in the form of requests
_CATEGORIES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)


def is_category(dtype: RawType) -> bool:
    """Whether values of a type have the same text in every table format. Dates and times do not."""
    return dtype.is_integer() or dtype in _CATEGORIES


def broken_category(dtype: pl.DataType) -> str | None:
    """The rule of categories, one value a row, if the type breaks it."""
    rule = "a categorical is text, boolean or integer: cast it to text, or declare it numeric"
    return None if is_category(dtype) else rule


def broken_timestamp(dtype: pl.DataType) -> str | None:
    """The rule of timestamps, one a row, if the type breaks it."""
    rule = "a timestamp is a date, a datetime or its ISO text"
    return None if dtype in (pl.Date, pl.Datetime, pl.String) else rule
