"""A combination of categories, hashed."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from pydantic import Field, PositiveInt

from features import naming, transforms
from features.kinds.base import Example, FittedFeature, Kind, Width
from features.kinds.rules import broken_category
from features.request.single import Crossed


class Cross(Kind):
    """The combination of the values of several categorical columns, hashed; null where one of the values is null.

    Args:
        columns: Two or more raw columns.
        buckets: Rows of its table.
        width: Embedding width; by default the spec's, or a width that grows with the buckets.
    """

    kind: Literal["cross"]
    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    buckets: PositiveInt
    width: Width = None

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """A text and an integer."""
        rows = pl.DataFrame({"city": ["Lima", "Oslo", "Lima", None], "shop": [7, 7, 12, None]})
        declared = {"kind": "cross", "columns": ["city", "shop"], "buckets": 20}
        return (Example(declared, rows, pl.DataFrame({"city": ["Bern", "Oslo"], "shop": [7, 12]})),)

    def raw_columns(self, name: str) -> list[str]:
        """The declared columns."""
        del name
        return list(self.columns)

    def categories(self, name: str) -> list[str]:
        """The declared columns."""
        return self.raw_columns(name)

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule of categories: see :func:`features.kinds.rules.is_category`."""
        del place
        return broken_category(dtype)

    def known_values(self, fitted: FittedFeature) -> int:
        """The number of buckets."""
        del fitted
        return self.buckets

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """The hash of the values' names."""
        del name
        names = [naming.name(pl.col(c), schema[c], fitted.naming) for c in self.columns]
        return transforms.crossed_id(names, self.buckets)

    def request_form(self, fitted: FittedFeature) -> Crossed:
        """The hash of the values' names."""
        return Crossed(self.buckets, fitted.naming)
