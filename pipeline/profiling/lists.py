"""Columns with a list a row: several categories, or weights beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from features.kinds.rules import is_category
from pipeline.profiling.categories import known_by, seen
from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import Column
from pipeline.profiling.column_names import words
from pipeline.profiling.log import Log

# Entries beyond this many cost time in every step; most lists are shorter.
_LONG = 50


def multi_hot(column: Column, log: Log, weights: str | None) -> Choices:
    """The feature of a column of lists.

    Args:
        column: The lists.
        log: The log.
        weights: The column with a weight for each entry, if there is one.
    """
    if not is_category(column.known.dtype) or (column.known.dtype.is_float() and not column.is_whole):
        why = f"lists of {column.known.dtype}: no kind of feature reads them; write each number into a column"
        return Choices((), (Excluded(column.name, why),))
    keys, how = known_by(column, log)
    lists = column.values.cast(pl.List(column.known.dtype))
    longest = int(np.max(lists.list.len().fill_null(0).to_numpy()))
    cut: dict[str, Any] = {"max_length": _LONG} if longest > _LONG else {}
    text = f"lists of up to {longest:,} entries, {seen(column).replace(' rows', ' entries')}: {how}"
    weighted = {} if weights is None else {"weights": weights}
    text += f", weighted by `{weights}`, a number for each entry" if weights else ""
    return Choices((Feature(column.name, {"kind": "multi_hot", **keys, **cut, **weighted}, text),))


def find_weights(columns: Mapping[str, Column]) -> dict[str, str]:
    """The columns of lists to those of their weights: fractions, as many a row, of a name with a word in common."""
    lists = {name: c for name, c in columns.items() if isinstance(c.kind, pl.List)}
    of_numbers = [n for n, c in lists.items() if c.known.dtype.is_float() and not c.is_whole and len(c.known)]
    found: dict[str, str] = {}
    for weights in of_numbers:
        for name, column in lists.items():
            if name not in (*of_numbers, *found) and _belongs(column, lists[weights]):
                found[name] = weights
                break
    return found


def _belongs(column: Column, weights: Column) -> bool:
    stems = [{word.rstrip("s") for word in words(name)} for name in (column.name, weights.name)]
    is_equal = column.values.list.len().eq_missing(weights.values.list.len()).all()
    return bool(is_equal) and not stems[0].isdisjoint(stems[1])
