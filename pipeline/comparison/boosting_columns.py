"""The columns that the boosting baseline reads, made of the networks' encoded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import ID, VALUE
from features.kinds import Feature
from features.spec import FeatureSpec
from features.transforms import NULL

CATEGORIES = 254  # and one for all others: scikit-learn's bins are 255
_ENTRIES = 16

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Columns:
    """Encoded columns as boosting reads them.

    - A number is the network's value, unknown where the network has an id for a missing one; a feature that the network
      reads by its bucket alone is the bucket's number.
    - A category is one of the 254 most frequent of the training rows, or a last one for all others.
    - A list becomes its length, and for each of the 16 most frequent entries a column that tells whether the list has
      it.

    Args:
        expressions: Each feature's columns, in float32.
        categories: The features whose column is a category.
        many: Those among them with more values in the training rows than have a category of their own: ids of users or
            items, crosses of these. Trees learn such a column by heart, so they may do better without it. (The columns
            of a list are numbers and few, however many entries there are.)
    """

    expressions: dict[str, list[pl.Expr]]
    categories: list[str]
    many: list[str]

    @classmethod
    def learnt(cls, rows: pl.DataFrame, spec: FeatureSpec) -> Columns:
        """Columns whose frequent values are counted on training rows."""
        expressions, categories = {}, []
        for name, feature in spec.features.items():
            if feature.is_multi_hot:
                new = _entries(rows, name)
            elif feature.is_ordered:
                new = [_number(name, feature)]
            else:
                new = [category_column(rows, name)]
                categories.append(name)
            expressions[name] = [e.cast(pl.Float32) for e in new]
        many = [name for name in categories if rows.get_column(ID + name).n_unique() > CATEGORIES]
        return cls(expressions, categories, many)

    @property
    def categorical(self) -> list[bool]:
        """Whether each column is a category."""
        return [name in self.categories for name, columns in self.expressions.items() for _ in columns]

    def without(self, left_out: Sequence[str]) -> Columns:
        """The columns of the other features."""
        kept = {name: columns for name, columns in self.expressions.items() if name not in left_out}
        return Columns(kept, *([n for n in names if n in kept] for names in (self.categories, self.many)))

    def of(self, rows: pl.DataFrame) -> Array:
        """Rows x columns, NaN where unknown."""
        every = [column for columns in self.expressions.values() for column in columns]
        columns = [column.alias(str(i)) for i, column in enumerate(every)]
        return rows.select(columns).fill_null(float("nan")).to_numpy()


def _number(name: str, feature: Feature) -> pl.Expr:
    value = pl.col((VALUE if feature.has_value else ID) + name)
    return pl.when(pl.col(ID + name) != NULL).then(value) if feature.has_ids else value


def category_column(rows: pl.DataFrame, name: str) -> pl.Expr:
    """A category's code: 0 for the most frequent id of the rows, 1 for the next, a last code for all rare ids."""
    frequent = _frequent(rows.get_column(ID + name), CATEGORIES)
    codes = pl.Series(range(len(frequent)), dtype=pl.Int32)
    return pl.col(ID + name).replace_strict(frequent, codes, default=len(frequent), return_dtype=pl.Int32)


def _entries(rows: pl.DataFrame, name: str) -> list[pl.Expr]:
    entries = pl.col(ID + name)
    frequent = _frequent(rows.get_column(ID + name).explode(), _ENTRIES)
    return [entries.list.len(), *(entries.list.contains(entry) for entry in frequent)]


def _frequent(ids: pl.Series, most: int) -> pl.Series:
    """The most frequent ids, most frequent first; of equally frequent ids the smaller comes first."""
    counts = ids.drop_nulls().alias("id").value_counts(name="rows")
    return counts.sort(["rows", "id"], descending=[True, False]).head(most).get_column("id")
