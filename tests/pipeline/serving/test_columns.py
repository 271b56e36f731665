"""Columns of requests: numbers of any length, arrays of numpy, and our own words for those that mix types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from features.errors import InputError
from features.fitting import fit
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, OUT_OF_VOCABULARY
from pipeline.serving.columns import frame_of

LARGE = 2**63 + 5


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([LARGE], pl.UInt64),
        ([LARGE, None, 3], pl.UInt64),
        ([-1, LARGE], pl.Int128),
        ([2**64, None], pl.Int128),
        ([-(2**127), 2**127 - 1], pl.Int128),
        ([[LARGE], [1], None, []], pl.List(pl.UInt64)),
        ([[1, None], [2**64]], pl.List(pl.Int128)),
    ],
)
def test_whole_numbers_of_up_to_128_bits(values: list[Any], dtype: pl.DataType) -> None:
    found = frame_of({"c": values}).get_column("c")
    assert found.dtype == dtype
    assert found.to_list() == values


@pytest.mark.parametrize("values", [[LARGE, 1.5], [2**60 + 1, None, 0.5], [[LARGE], [0.5]]])
def test_with_fractions_beside_them_they_are_floats(values: list[Any]) -> None:
    found = frame_of({"c": values}).get_column("c").explode()
    assert found.dtype == pl.Float64
    assert found.drop_nulls().to_list() == [float(v) for v in pl.Series(values, strict=False).explode().drop_nulls()]


@pytest.mark.parametrize(
    "values",
    [
        [np.array([1, 2]), np.array([])],
        [np.array([2**60 + 1, 2]), np.array([])],
        [np.array([LARGE], np.uint64), np.array([])],
        [np.array(["a", "b"], object), np.array([])],
        [np.array([]), None],
    ],
)
def test_an_empty_array_of_numpy_has_no_type(values: list[Any]) -> None:
    found = frame_of({"c": pd.Series(values)}).get_column("c")
    assert found.to_list() == [None if one is None else one.tolist() for one in values]


def test_whole_floats_are_entries_of_a_list() -> None:
    spec = FeatureSpec.model_validate({"features": {"c": {"kind": "multi_hot"}}, "tasks": {"y": {"positive": "y = 1"}}})
    encoder = fit(
        spec, pl.DataFrame({"c": [[1, 8], [LARGE]], "y": [0, 1]}, {"c": pl.List(pl.UInt64), "y": pl.Int8}).lazy()
    )
    for given, expected in (
        ([[8.0, 1.0]], [[FIRST_KNOWN + 1, FIRST_KNOWN]]),
        ([[1.5]], [[OUT_OF_VOCABULARY]]),
        ([[8, LARGE]], [[FIRST_KNOWN + 1, FIRST_KNOWN + 2]]),
        ([[str(LARGE)]], [[FIRST_KNOWN + 2]]),
    ):
        rows = frame_of({"c": given}).lazy()
        assert encoder.encode_features(rows).collect().get_column("id.c").to_list() == expected


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([True, 1], "true or false and numbers"),
        ([1, True, 0.5], "numbers and true or false"),
        ([1, "a"], "numbers and text"),
        (["a", None, 1], "text and numbers"),
        ([[1], 2], "lists and numbers"),
        ([[1, "a"]], "lists of numbers and text"),
        ([{"a": 1}, 1], "objects and numbers"),
        ([b"a", 1], "bytes and numbers"),
    ],
)
def test_a_column_that_mixes_types_is_told_in_our_words(values: list[Any], found: str) -> None:
    with pytest.raises(InputError) as caught:
        frame_of({"c": values, "d": [1], "e": values})
    rule = f"holds {found}; give all its rows values of one type, a missing one as null"
    assert str(caught.value).split("\n")[1:] == [f"  - column `{name}` {rule}" for name in "ce"]


@pytest.mark.parametrize("number", [2**127, -(2**127) - 1, 10**400])
def test_a_longer_number_is_told_in_our_words(number: int) -> None:
    for values in ([number], [[number, 1]]):
        with pytest.raises(InputError, match="`c` holds a whole number of more than 128 bits; give its digits as text"):
            frame_of({"c": values})
