"""A category: one value a row."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl

from features.kinds.base import Example, FittedFeature, RawType
from features.kinds.known import Known
from features.kinds.rules import broken_category
from features.request.single import Single


class Categorical(Known):
    """One value a row: text, a boolean, a whole number or bytes. Null has an id of its own.

    Values with one name are one value: see :mod:`features.naming`.
    """

    kind: Literal["categorical"] = "categorical"

    is_name: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Texts with a vocabulary, integers with a hash."""
        cities = pl.DataFrame({"city": ["Lima", "Oslo", "Lima", "Rome", None]})
        shops = pl.DataFrame({"shop": [7, 12, 7, 90, None]})
        return (
            Example({"kind": "categorical", "column": "city"}, cities, pl.DataFrame({"city": ["Bern", ""]})),
            Example({"kind": "categorical", "column": "shop"}, shops, pl.DataFrame({"shop": [8, -1]})),
            Example({"kind": "categorical", "column": "shop", "buckets": 9}, shops, pl.DataFrame({"shop": [8, -1]})),
        )

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule of categories: see :func:`features.kinds.rules.is_category`."""
        del place
        return broken_category(dtype)

    def values(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, RawType]:
        """The column as it is."""
        (column,) = self.raw_columns(name)
        return pl.col(column), schema[column]

    def request_form(self, fitted: FittedFeature) -> Single:
        """One value a row."""
        return Single(self.numbering(fitted))
