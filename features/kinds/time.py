"""A part of a timestamp: its hour, weekday or month."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

import polars as pl

from features import transforms
from features.kinds.base import DeclaredUnit, Example, FittedFeature, Kind, Width
from features.kinds.rules import broken_timestamp, example_timestamp
from features.request.single import TimePart
from features.request.times import Clock


class Time(Kind):
    """A part of a timestamp, with an embedding for each of its values.

    Args:
        column: Raw column with dates or datetimes, or their ISO text; the feature's own name when omitted.
        part: ``"hour"`` of the day, ``"weekday"`` or ``"month"``.
        unit: Unit of a column with numbers since 1970 (UTC): ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``. Numbers outside
            of the years 1900 to 2199 are unknown; dates, datetimes and texts are read as they are.
        width: Embedding width; by default the spec's, or a width that grows with the table's rows.
    """

    # A single day has one weekday, one month, and only the hours up to now.
    is_comparable_by_day: ClassVar[bool] = False

    kind: Literal["time"]
    column: str | None = None
    part: Literal["hour", "weekday", "month"]
    width: Width = None
    unit: DeclaredUnit = None

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Datetimes, ISO texts, and numbers since 1970."""
        moments = pl.DataFrame({"at": [datetime(2026, 1, 5, 23, 59), datetime(2026, 12, 6), None]})
        later = pl.DataFrame({"at": [datetime(2027, 7, 1, 12)]})
        texts = (frame.select(pl.col("at").dt.to_string("iso:strict")) for frame in (moments, later))
        numbers = (frame.select(pl.col("at").dt.epoch("ms")) for frame in (moments, later))
        return (
            Example({"kind": "time", "column": "at", "part": "weekday"}, moments, later),
            Example({"kind": "time", "column": "at", "part": "hour"}, *texts),
            Example({"kind": "time", "column": "at", "part": "hour", "unit": "ms"}, *numbers),
        )

    def raw_columns(self, name: str) -> list[str]:
        """The one column."""
        return [self.column or name]

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule of timestamps: see :func:`features.kinds.rules.broken_timestamp`."""
        del place
        return broken_timestamp(dtype, self.unit)

    def request_value(self, place: int, dtype: str) -> Any:
        """A timestamp as training has it: its ISO text, or a number."""
        del place
        return example_timestamp(dtype, self.unit)

    def times(self, name: str) -> dict[str, transforms.Unit | None]:
        """The one column."""
        return dict.fromkeys(self.raw_columns(name), self.unit)

    def known_values(self, fitted: FittedFeature) -> int:
        """The number of values of the part."""
        del fitted
        return transforms.PARTS[self.part][0]

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """The number of the part."""
        (column,) = self.raw_columns(name)
        moment = transforms.timestamp(column, schema[column], self.unit, any_zone=fitted.naming > 1)
        return transforms.part_id(moment, self.part)

    def request_form(self, fitted: FittedFeature) -> TimePart:
        """The number of the part."""
        return TimePart(Clock(self.unit, any_zone=fitted.naming > 1), self.part)
