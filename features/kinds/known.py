"""The base of kinds whose values are known by a vocabulary fitted on training rows, or by a hash."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import polars as pl
from pydantic import PositiveInt

from features import naming, transforms
from features.kinds.base import Count, FittedFeature, Kind, Name, RawType, Width
from features.request.numbering import Hashed, LookedUp, Numbering


class Known(Kind):
    """Values that are known by a vocabulary fitted on training rows, or by a hash.

    Args:
        column: Raw column; the feature's own name when omitted.
        width: Embedding width; by default the spec's, or a width that grows with the table's rows.
        min_count: Values seen fewer times in training rows are out of vocabulary. With 1 every training value is known,
            so the out-of-vocabulary row is never trained and keeps its initial value, zero.
        max_size: Size limit of the vocabulary, which keeps the most frequent values; 0 for no limit.
        grow_by: The table has rows for a multiple of this many known values: a vocabulary that grows from day to day
            changes the table's shape only when these rows are used up.
        buckets: Rows of the table if values are hashed instead of looked up in a vocabulary; 0 for a vocabulary.
        table: Name of a table that several features share, and with it vocabulary, size and width; by default the
            feature has its own table.
    """

    shared_keys: ClassVar[tuple[str, ...]] = ("width", "min_count", "max_size", "grow_by", "buckets")

    column: str | None = None
    width: Width = None
    min_count: PositiveInt = 1
    max_size: Count = 0
    grow_by: PositiveInt = 1
    buckets: Count = 0
    table: Name | None = None

    @abstractmethod
    def values(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, RawType]:
        """The value of a row, or the list of its values for a multi-hot, and the type of one value."""

    def raw_columns(self, name: str) -> list[str]:
        """The one column."""
        return [self.column or name]

    def categories(self, name: str) -> list[str]:
        """The one column."""
        return Known.raw_columns(self, name)

    def table_name(self, name: str) -> str:
        """The declared table, or the feature's own."""
        return self.table or name

    @property
    def has_vocabulary(self) -> bool:
        """True unless values are hashed."""
        return not self.buckets

    def vocabulary(self, known: pl.Series, counts: pl.DataFrame) -> pl.Series:
        """The known values, then the new ones that are frequent enough, in the order they were seen."""
        new = counts.filter(pl.col("count") >= self.min_count)
        if self.max_size:
            new = new.sort("count", "first", "value", descending=[True, False, False])
            new = new.head(max(self.max_size - len(known), 0))
        return pl.concat([known, new.sort("first", "value").get_column("value")])

    def known_values(self, fitted: FittedFeature) -> int:
        """The buckets, or the vocabulary with the rows reserved for growth."""
        return self.buckets or -(-len(fitted.vocabulary) // self.grow_by) * self.grow_by

    def numbering(self, fitted: FittedFeature) -> Numbering:
        """The ids of single values in requests: what :meth:`id_expression` gives each value."""
        return Hashed(self.buckets, fitted.naming) if self.buckets else LookedUp(fitted.lookup)

    def id_expression(self, name: str, schema: pl.Schema, fitted: FittedFeature) -> pl.Expr:
        """Each value's place in the vocabulary, or the hash of its name; an empty list becomes one null."""
        values, dtype = self.values(name, schema)
        value = pl.element() if self.is_multi_hot else values
        if self.buckets:
            one = transforms.hashed_id(naming.name(value, dtype, fitted.naming), self.buckets)
        else:
            one = naming.known_id(value, dtype, fitted.vocabulary, fitted.naming)
        if not self.is_multi_hot:
            return one
        ids = values.list.eval(one)
        nothing = pl.lit([transforms.NULL], dtype=pl.List(pl.Int32))
        return pl.when(ids.list.len() > 0).then(ids).otherwise(nothing)
