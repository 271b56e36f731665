"""The words of a text, pooled into one embedding."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import polars as pl

from features.kinds.base import Count, Example, FittedFeature, RawType
from features.kinds.known import Known
from features.request.column import Column, Lists, UnreadError
from features.request.listed import Listed


class Words(Known):
    """The words of a text, such as a title or a query, pooled into one embedding as their mean.

    A word is a run of letters, digits or underscores, in whatever case. A text without one is null.

    Args:
        max_length: Words of a text beyond this many are dropped; 0 for no limit.
    """

    is_multi_hot: ClassVar[bool] = True  # a row has several ids, one a word

    kind: Literal["words"]
    max_length: Count = 0

    @property
    def is_mean(self) -> bool:
        """Always."""
        return True

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Titles with a vocabulary, and cut titles with a hash."""
        titles = pl.DataFrame({"title": ["The red shoe", "A SHOE, red!", "red", "...", None]})
        others = pl.DataFrame({"title": ["blue sky", "7"]})
        return (
            Example({"kind": "words", "column": "title"}, titles, others),
            Example({"kind": "words", "column": "title", "max_length": 2, "buckets": 50}, titles, others),
        )

    def broken_rule(self, place: int, dtype: pl.DataType) -> str | None:
        """The rule that a column's type breaks: it should be text."""
        del place
        return None if dtype == pl.String else "words are those of a text: cast the column to text"

    def typed(self, dtype: pl.DataType) -> pl.DataType:
        """Text where a request's column is all null, and so has no type."""
        return pl.String() if dtype == pl.Null else dtype

    def values(self, name: str, schema: pl.Schema) -> tuple[pl.Expr, RawType]:
        """The list of a text's words; the vocabulary, the hash and the ids follow from it."""
        del schema
        (column,) = self.raw_columns(name)
        words = pl.col(column).str.to_lowercase().str.extract_all(r"\w+")
        return words.list.head(self.max_length) if self.max_length else words, pl.String()

    def request_form(self, fitted: FittedFeature) -> Listed:
        """The words of the texts of a request."""
        return Listed(self.numbering(fitted), _words, self.max_length, is_mean=True)


def _words(column: Column) -> Lists:
    if column.kind not in ("null", "text") or not all(text is None or text.isascii() for text in column.values):
        raise UnreadError  # Python's and Polars' letters differ
    rows = [None if text is None else re.findall(r"\w+", text.lower()) for text in column.values]
    return Lists.of(rows, Column("text", [word for row in rows if row for word in row]))
