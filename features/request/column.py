"""One column of a request, as forms read it: Python values of one type, or lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]
ColumnKind = Literal["null", "boolean", "integer", "float", "text", "category", "time", "list"]


class UnreadError(Exception):
    """A request that this package does not read: it is left to the expressions, which read it or refuse it."""


@dataclass(frozen=True, eq=False)
class Column:
    """The values of one column, None where unknown.

    Args:
        kind: The type of the values. ``"null"`` is a column without a single value, whatever its type was.
        values: Of the kinds in this order: None; bool; int, within 64 bits with a sign; finite float; str, which can be
            encoded in UTF-8; such a text of Arrow's dictionaries, which is no time; int, the microseconds since 1970; a
            list, whose entries are in ``lists``.
        largest_whole: Of floats, the largest number up to which floats of their width hold every whole number.
        lists: The entries of lists; None for another kind.
        number_N: Floats in float64, NaN where unknown, if they are at hand.
    """

    kind: ColumnKind
    values: Sequence[Any]
    largest_whole: float = 2.0**53
    lists: Lists | None = None
    number_N: Numbers | None = None

    def __len__(self) -> int:
        return len(self.values)

    def numbers(self) -> Numbers:
        """Integers or floats in float64, NaN where unknown.

        Raises:
            UnreadError: If the values are no numbers.
        """
        if self.kind not in ("integer", "float", "null"):
            raise UnreadError
        return np.array(self.values, np.float64) if self.number_N is None else self.number_N

    def in_float32(self) -> Column:
        """Floats rounded to the nearest of 32 bits, unknown where that is infinite; other columns as they are."""
        if self.kind != "float":
            return self
        rounded = self.numbers().astype(np.float32)
        known = np.isfinite(rounded)
        values = [value if one else None for value, one in zip(rounded.tolist(), known.tolist(), strict=True)]
        return Column("float", values, 2.0**24)

    def is_complete(self) -> bool:
        """Whether every row has a value."""
        return None not in self.values


@dataclass(frozen=True, eq=False)
class Lists:
    """The entries of a column of lists.

    Args:
        entries: The entries of all rows, one row after another.
        length_N: Number of entries of each row; 0 where there is no list.
        known_N: Whether the row has a list.
    """

    entries: Column
    length_N: Lengths
    known_N: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any] | None], entries: Column) -> Lists:
        """The lists of rows, None for none, with their entries."""
        length_N = np.array([0 if row is None else len(row) for row in rows], np.int64)
        return cls(entries, length_N, np.array([row is not None for row in rows], np.bool_))

    @cached_property
    def row_E(self) -> Lengths:
        """The row of each entry."""
        return np.repeat(np.arange(len(self.length_N)), self.length_N)

    @cached_property
    def place_E(self) -> Lengths:
        """The place of each entry in its list."""
        return np.arange(len(self.row_E)) - np.repeat(self.length_N.cumsum() - self.length_N, self.length_N)
