"""Columns of text: categories, lists with a separator or sentences."""

from __future__ import annotations

import polars as pl

from pipeline.profiling.categories import category
from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import Column, share
from pipeline.profiling.log import Log
from pipeline.profiling.splitting import Split

_SEPARATORS = ("|", ";", ",")
_SENTENCE, _FEW_TEXTS = 6, 50  # words; distinct texts
_SOME = 2000


def text(column: Column, log: Log, split: Split) -> Choices:
    """The feature of a column of text, or the reason why it can be none."""
    some = column.known.unique(maintain_order=True).head(_SOME)
    if separator := _separator(some):
        return _list(column, separator)
    words = some.str.count_matches(r"\S+").median()
    if column.distinct > _FEW_TEXTS and isinstance(words, float) and words >= _SENTENCE:
        why = f"sentences, as {some[0][:40]!r}: no kind of feature reads them; write what they say into columns"
        return Choices((), (Excluded(column.name, why),))
    return category(column, log, split)


def _separator(some: pl.Series) -> str | None:
    """The separator of texts that are lists: the parts are fewer than the texts, short and without a space."""
    if len(some) < 10:
        return None
    for separator in _SEPARATORS:
        parts = some.str.split(separator).explode().str.strip_chars()
        is_listed = share(some.str.contains(separator, literal=True)) > 0.2
        are_words = share(parts.str.count_matches(r"\S+") < 2) > 0.9
        if is_listed and are_words and 2 * parts.n_unique() < len(some):
            return separator
    return None


def _list(column: Column, separator: str) -> Choices:
    lists = column.known.str.split(separator)
    entries = lists.explode().n_unique()
    keys = {"kind": "multi_hot", "separator": separator} | ({"min_count": 5} if entries > 100 else {})
    found = f"lists as text, of {entries:,} distinct entries, as {column.known[0][:40]!r}"
    return Choices((Feature(column.name, keys, found),))
