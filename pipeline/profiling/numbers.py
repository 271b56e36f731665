"""Features of one number a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.profiling.choice import Choices, Excluded, Feature
from pipeline.profiling.column import Column, round_number, share
from pipeline.profiling.column_names import names_something
from pipeline.profiling.splitting import Split

# Up to this many distinct integers without a hint in their name are categories.
_FEW_VALUES = 50
_SKEWED = 2.0
# A number that only rises tells the hour of the log, and training rows have none of the later ones.
_BEYOND = 0.8


def is_category(column: Column) -> bool:
    """Whether whole numbers name something instead of counting it: by the column's name, else by their values."""
    if not column.is_whole:
        return False
    named = names_something(column.name)
    if named is not None:
        return named
    if column.distinct <= _FEW_VALUES:
        return True
    spread = column.numbers[-1] - column.numbers[0]
    # Amounts lie close together; numbers of things are far apart, or there are more of them than amounts would have.
    return bool(spread > 1000 * column.distinct)


def number(column: Column, split: Split) -> Choices:
    """The numeric feature of a column, or the reason why it can be none."""
    if (beyond := _beyond(column, split)) > _BEYOND:
        why = f"it rises with time: {beyond:.0%} of the test rows have numbers beyond those of all training rows"
        return Choices((), (Excluded(column.name, why),))
    low, half, high = (column.numbers[place] for place in (0, len(column.numbers) // 2, -1))
    text = f"{round_number(low)} to {round_number(high)}, median {round_number(half)}"
    keys: dict[str, Any] = {"kind": "numeric"}
    if low >= 0 and (skew := _skew(column.numbers)) > _SKEWED and abs(_skew(np.log1p(column.numbers))) < skew / 2:
        keys["log1p"] = True
        text += ", a few far larger: log1p"
    return Choices((Feature(column.name, keys, text),))


def _beyond(column: Column, split: Split) -> float:
    """The share of the test rows whose number is above that of every training row."""
    rows = pl.DataFrame({"number": column.values, "part": split.part}).drop_nulls()
    train, test = (rows.filter(pl.col("part") == part).get_column("number") for part in ("train", "test"))
    return share(test > train.max()) if len(train) else 0.0


def _skew(number_N: npt.NDArray[np.float64]) -> float:
    """The skewness: the mean cube of standardised numbers; 0 of a constant."""
    deviation = number_N.std()
    return float((((number_N - number_N.mean()) / deviation) ** 3).mean()) if deviation else 0.0
