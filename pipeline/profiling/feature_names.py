"""Names of a draft and of its features, which a config may have."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.profiling.choice import Feature
from pipeline.profiling.plain_names import plain_name


def name_of(source: str) -> str:
    """The name of the data: the last part of its path that is no pattern."""
    parts = [part for part in source.replace("\\", "/").split("/") if part and not set("*?[=") & set(part)]
    return parts[-1].removesuffix(".parquet") if parts else "log"


def named(features: Sequence[Feature], taken: Sequence[str]) -> dict[str, Feature]:
    """The features by names of their own, which a config may have; tables have names, too."""
    used = {*taken, *(table for one in features if (table := one.keys.get("table")))}
    found: dict[str, Feature] = {}
    for place, feature in enumerate(features):
        wanted = f"{feature.column}_{feature.part}" if feature.part else feature.column
        # The hour of `timestamp` is `hour`, unless a column is called so.
        if feature.keys["kind"] == "time" and feature.part not in {one.column for one in features} | found.keys():
            wanted = feature.part
        found[plain_name(wanted, f"column_{place + 1}", [*used, *found])] = feature
    return found
