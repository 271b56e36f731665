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
_ABLE = frozenset({"kind", "max_length", "weights", "min_count"})


def with_shared_tables(features: Sequence[Feature], columns: Mapping[str, Column]) -> list[Feature]:
    """The features, those of the same values with one table.

    Their columns have the same noun at the end of their names and four fifths of their values in common. Values are
    counted over all of them, so the least of their ``min_count`` holds.
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
        least = min(found[one].keys.get("min_count", 1) for one in (place, *alike))
        for one in (place, *alike):
            keys = {key: value for key, value in found[one].keys.items() if key != "min_count"}
            keys |= {"min_count": least} if least > 1 else {}
            why = f"{found[one].evidence}; a table for all its columns"
            found[one] = replace(found[one], keys={**keys, "table": f"{noun}_values"}, evidence=why)
    return found


def _is_able(feature: Feature, columns: Mapping[str, Column]) -> bool:
    is_known = feature.keys["kind"] in ("categorical", "multi_hot") and feature.keys.keys() <= _ABLE
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
