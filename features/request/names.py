"""The names of a request's values: the rule of :mod:`features.naming` for Python values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from features.constants import TRUTHS, UUID, ZERO_FRACTION
from features.request.column import Column, UnreadError

_ZERO_FRACTION, _UUID = re.compile(ZERO_FRACTION), re.compile(UUID)
# Python writes floats within, and Polars too, by their shortest digits without an exponent.
_LEAST_PLAIN, _MOST_PLAIN = 1e-4, 1e16
_INT64 = 2.0**63


def names(column: Column, naming: int) -> Sequence[str | None]:
    """The name of each value of a category.

    Args:
        column: The values.
        naming: The number of the rule.

    Raises:
        UnreadError: If the values are no categories, or their names are not made here.
    """
    if column.kind in ("text", "category"):
        return names_of_texts(column.values) if naming > 1 else column.values
    if column.kind == "integer":
        return [None if value is None else str(value) for value in column.values]
    if column.kind == "float":
        largest = column.largest_whole
        return [None if value is None else _name_of_float(value, largest, naming) for value in column.values]
    if column.kind == "boolean":
        truths = ("0", "1") if naming > 1 else ("false", "true")
        return [None if value is None else truths[value] for value in column.values]
    if column.kind == "null":
        return column.values
    raise UnreadError


def names_of_texts(texts: Sequence[str | None]) -> Sequence[str | None]:
    """The names of texts by the second rule."""
    return [name_of_text(text) if text and _may_have_another(text) else text for text in texts]


def name_of_text(text: str) -> str:
    """The name of a text by the second rule."""
    if whole := _ZERO_FRACTION.fullmatch(text):
        return whole[1] or whole[2]
    if text in TRUTHS:
        return TRUTHS[text]
    return text.replace("-", "").lower() if _UUID.fullmatch(text) else text


def _may_have_another(text: str) -> bool:
    return text[-1] in "0e" or len(text) == 36


def _name_of_float(value: float, largest_whole: float, naming: int) -> str:
    if value.is_integer() and abs(value) <= (largest_whole if naming > 1 else _INT64 / 2):
        return str(int(value))
    # Of fewer bits, the shortest digits are others than Python's.
    if largest_whole != 2.0**53 or not _LEAST_PLAIN <= abs(value) < _MOST_PLAIN:
        raise UnreadError
    return repr(value)
