"""Rules about the types of raw columns that several kinds share. Each function returns the rule that a type breaks."""

from __future__ import annotations

import polars as pl

from features.kinds.base import RawType

TIMESTAMP = "2026-01-31T12:00:00"  # a made-up moment, as a request has it
_CATEGORIES = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)


def is_category(dtype: RawType) -> bool:
    """Whether values of a type have a text that is the same in every table format: dates and times have none."""
    return dtype.is_integer() or dtype in _CATEGORIES


def broken_category(dtype: pl.DataType) -> str | None:
    """One value of a category a row."""
    rule = "a categorical is text, boolean or integer: cast it to text, or declare it numeric"
    return None if is_category(dtype) else rule


def broken_timestamp(dtype: pl.DataType) -> str | None:
    """One moment a row."""
    rule = "a timestamp is a date, a datetime or its ISO text"
    return None if dtype in (pl.Date, pl.Datetime, pl.String) else rule
