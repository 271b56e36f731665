"""The form of features with several ids a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from features.constants import NULL
from features.request.column import Column, Lists, UnreadError
from features.request.form import Form, Part
from features.request.numbering import Numbering

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Listed(Form):
    """Several values a row.

    Args:
        numbering: Gives each entry its id.
        split: Makes the lists of a column, of null lists where there is no value.
        most: Number of entries of a row beyond which further ones are dropped; 0 for no limit.
        has_weights: Whether a second column has the entries' weights.
        is_mean: Whether weights count as shares of their sum.
    """

    numbering: Numbering
    split: Callable[[Column], Lists]
    most: int = 0
    has_weights: bool = False
    is_mean: bool = False

    def part(self, columns: Sequence[Column]) -> Part:
        """See :meth:`features.request.form.Form.part`."""
        if self.has_weights:
            return self._weighted(*columns)
        lists = self.split(columns[0])
        ids_E = self.numbering.ids(lists.entries)
        kept_E = ids_E != NULL
        if self.most:
            kept_E &= lists.place_E < self.most
        rows = len(lists.length_N)
        if not kept_E.all():
            length_N = np.bincount(lists.row_E[kept_E], minlength=rows)
            return Part(*_filled(ids_E[kept_E], length_N, NULL))
        return Part(*_filled(ids_E, lists.length_N, NULL))

    def _weighted(self, listed: Column, weights: Column) -> Part:
        rows = max(len(listed), len(weights))
        lists, given = (whole_lists(_all_rows(column, rows)) for column in (listed, weights))
        if (given.known_N & (lists.length_N > 0) & (given.length_N != lists.length_N)).any():
            raise UnreadError  # a list of weights of the wrong length
        used_E = np.repeat((lists.length_N > 0) & given.known_N, given.length_N)
        weight_E = np.zeros(len(lists.row_E))
        weight_E[np.repeat(given.known_N, lists.length_N)] = given.entries.numbers()[used_E]
        ids_E, row_E, length_N = self.numbering.ids(lists.entries), lists.row_E, lists.length_N
        if self.most:
            kept_E = lists.place_E < self.most
            ids_E, row_E, weight_E = ids_E[kept_E], row_E[kept_E], weight_E[kept_E]
            length_N = np.minimum(length_N, self.most)
        weight_E = np.where(np.isfinite(weight_E.astype(np.float32)) & (weight_E > 0), weight_E, 0.0)
        if self.is_mean:
            # In the order of the entries, as the expressions add.
            sum_N = np.bincount(row_E, weight_E, rows)
            weight_E = weight_E / np.where(sum_N > 0, sum_N, 1.0)[row_E]
        ids, filled_N = _filled(ids_E, length_N, NULL)
        return Part(ids, filled_N, _filled(weight_E.astype(np.float32), length_N, 1.0)[0])


def whole_lists(column: Column) -> Lists:
    """The lists of a column of lists; null lists of a column without a value.

    Raises:
        UnreadError: If it is of another kind.
    """
    if column.kind == "null":
        return Lists.of(column.values, Column("null", ()))
    if column.lists is None:
        raise UnreadError
    return column.lists


@dataclass(frozen=True)
class Separated:
    """Splits texts.

    Args:
        separator: The text between entries.
    """

    separator: str

    def __call__(self, column: Column) -> Lists:
        """The entries without the spaces around them; empty ones are left out."""
        if column.kind not in ("null", "text", "category"):
            raise UnreadError
        rows = [None if text is None else self._entries(text) for text in column.values]
        return Lists.of(rows, Column("text", [entry for row in rows if row for entry in row]))

    def _entries(self, text: str) -> list[str]:
        return [entry for piece in text.split(self.separator) if (entry := piece.strip(" "))]


def _all_rows(column: Column, rows: int) -> Column:
    """A column with a value for each row, where it may have a single one for all."""
    if len(column) == rows:
        return column
    if column.lists is None:
        return Column(column.kind, [*column.values] * rows, column.largest_whole)
    entries = column.lists.entries
    repeated = Column(entries.kind, [*entries.values] * rows, entries.largest_whole)
    values = [*column.values] * rows
    return Column("list", values, lists=Lists.of(values, repeated))


def _filled(
    entry_E: npt.NDArray[_Number], length_N: npt.NDArray[np.int64], nothing: float
) -> tuple[npt.NDArray[_Number], npt.NDArray[np.int64]]:
    """Entries of lists with one more for each empty list, and the lists' lengths then."""
    empty_N = length_N == 0
    if not empty_N.any():
        return entry_E, length_N
    filled_N = np.where(empty_N, 1, length_N)
    begin_N = filled_N.cumsum() - filled_N
    is_filler_E = np.zeros(int(filled_N.sum()), np.bool_)
    is_filler_E[begin_N[empty_N]] = True
    filled_E = np.full(len(is_filler_E), nothing, entry_E.dtype)
    filled_E[~is_filler_E] = entry_E
    return filled_E, filled_N
