"""Features that share an embedding table: columns of the same values, one a row or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from features.naming import name
from pipeline.profiling.choice import Feature
from pipeline.profiling.column import Column
from pipeline.profiling.column_names import words

_FEWEST, _ALIKE = 10, 0.8
_PLAIN = frozenset({"kind", "max_length", "weights"})


def with_shared_tables(features: Sequence[Feature], columns: Mapping[str, Column]) -> list[Feature]:
    """The features, those of the same values with one table.

    Their columns have the same noun at the end of their names and four fifths of their values in common, and no key
    that shapes the table.
    """
    found = list(features)
    able = [place for place, one in enumerate(found) if _is_able(one, columns)]
    values = {place: _names(columns[found[place].column]) for place in able}
    nouns = {place: _noun(found[place]) for place in able}
    for number, place in enumerate(able):
        noun = nouns[place]
        alike = [o for o in able[number + 1 :] if nouns[o] == noun and _are_alike(values[place], values[o])]
        if "table" in found[place].keys or not alike:
            continue
        for one in (place, *alike):
            keys = {**found[one].keys, "table": f"{noun}_values"}
            found[one] = replace(found[one], keys=keys, evidence=f"{found[one].evidence}; a table for all its columns")
    return found


def _is_able(feature: Feature, columns: Mapping[str, Column]) -> bool:
    is_known = feature.keys["kind"] in ("categorical", "multi_hot") and feature.keys.keys() <= _PLAIN
    return is_known and columns[feature.column].distinct >= _FEWEST


def _names(column: Column) -> set[str]:
    known = column.known.unique().to_frame("value")
    return set(known.select(name(pl.col("value"), known.schema["value"])).to_series().to_list())


def _noun(feature: Feature) -> str:
    """The last word of the column's name, without the ending of a plural."""
    last = (words(feature.column) or [""])[-1]
    singular = f"{last[:-3]}y" if last.endswith("ies") else last.removesuffix("s")
    return singular if singular.isascii() and singular.isalpha() else "column"


def _are_alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)
