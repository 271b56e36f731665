"""The figures of one column in the sample: nulls, distinct values, values seen once, range and skew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from features.naming import largest_whole


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the sample.

    Args:
        values: Its values, nulls and all.
    """

    values: pl.Series

    @property
    def name(self) -> str:
        """Its name."""
        return self.values.name

    @property
    def kind(self) -> pl.DataType:
        """Its type."""
        return self.values.dtype

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.values)

    @cached_property
    def known(self) -> pl.Series:
        """The values that are neither null, NaN nor infinite; the entries of lists."""
        values = self.values
        if isinstance(self.kind, pl.List | pl.Array):
            values = values.explode(empty_as_null=True)
        known = values.drop_nulls()
        return known.filter(known.is_finite()) if known.dtype.is_float() else known

    @cached_property
    def counts(self) -> pl.Series:
        """The number of rows of each distinct value, the largest first."""
        return self.known.value_counts(sort=True, name="rows").get_column("rows")

    @property
    def distinct(self) -> int:
        """The number of distinct values."""
        return len(self.counts)

    @property
    def once(self) -> int:
        """The number of values with one row."""
        return int((self.counts == 1).sum())

    @property
    def rare(self) -> float:
        """The share of known rows whose value has fewer than five."""
        few = self.counts.filter(self.counts < FEW)
        return float(few.sum()) / max(len(self.known), 1)

    @cached_property
    def is_whole(self) -> bool:
        """Whether its numbers are whole and exact."""
        if self.known.dtype.is_integer():
            return True
        if not self.known.dtype.is_float():
            return False
        return bool(((self.known == self.known.floor()) & (self.known.abs() <= largest_whole(self.known.dtype))).all())

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Its known numbers, ascending."""
        return np.sort(self.known.cast(pl.Float64).to_numpy())

    @property
    def is_unique(self) -> bool:
        """Whether it tells almost every row from all others."""
        return len(self.known) > FEW and self.distinct >= _UNIQUE * len(self.known)

    def share(self, rows: float) -> str:
        """A number of rows as a share of the known ones."""
        return f"{rows / max(len(self.known), 1):.0%}"

    def estimated_distinct(self, rows: int) -> int:
        """The number of distinct values among all rows, extrapolated by Heaps' law from half of the sample.

        Args:
            rows: The number of rows of the log.
        """
        if rows <= self.rows or len(self.known) < 2:
            return self.distinct
        half = max(self.known.gather_every(2).n_unique(), 1)
        exponent = min(np.log2(self.distinct / half), 1.0)
        return int(min(self.distinct * (rows / self.rows) ** exponent, rows))


def share(are: pl.Series) -> float:
    """The share of rows that are true, 0 without rows; null is not true."""
    return float(np.mean(are.fill_null(value=False).to_numpy())) if len(are) else 0.0


FEW = 5
_UNIQUE = 0.98


def round_number(number: float) -> str:
    """A number with four significant digits at most."""
    return f"{number:,.0f}" if abs(number) >= 1000 or number == round(number) else f"{number:.4g}"
