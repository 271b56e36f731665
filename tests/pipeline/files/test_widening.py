"""One type for columns that files have in several: every value stays itself, or there is none."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files.widening import lost, united

DATETIME, ZONED = pl.Datetime("us"), pl.Datetime("us", "UTC")
UNITED: list[tuple[pl.DataType, pl.DataType, pl.DataType | None]] = [
    (pl.Int32(), pl.Int64(), pl.Int64()),
    (pl.UInt8(), pl.Int8(), pl.Int16()),
    (pl.UInt32(), pl.Int32(), pl.Int64()),
    (pl.UInt64(), pl.Int64(), pl.Int128()),
    (pl.UInt128(), pl.Int8(), None),
    (pl.Int64(), pl.Float64(), pl.Float64()),
    (pl.Int8(), pl.Float32(), pl.Float64()),
    (pl.Float32(), pl.Float64(), pl.Float64()),
    (pl.Null(), pl.Enum(["a"]), pl.Enum(["a"])),
    (pl.Categorical(), pl.String(), pl.String()),
    (pl.Enum(["a"]), pl.Enum(["a", "b"]), pl.String()),
    (pl.Datetime("ns"), DATETIME, DATETIME),
    (pl.Datetime("ms", "UTC"), pl.Datetime("ns", "UTC"), ZONED),
    (DATETIME, ZONED, None),
    (pl.Datetime("us", "Europe/Amsterdam"), ZONED, None),
    (pl.Decimal(10, 2), pl.Decimal(12, 4), pl.Decimal(12, 4)),
    (pl.Decimal(10, 2), pl.Int64(), pl.Decimal(21, 2)),
    (pl.Decimal(10, 2), pl.Float64(), pl.Float64()),
    (pl.Array(pl.Int64(), 2), pl.List(pl.Int64()), pl.List(pl.Int64())),
    (pl.Array(pl.Int32(), 2), pl.Array(pl.Int64(), 3), pl.List(pl.Int64())),
    (pl.List(pl.Null()), pl.List(pl.String()), pl.List(pl.String())),
    (pl.List(pl.Int64()), pl.List(pl.String()), None),
    (pl.Int64(), pl.String(), None),
    (pl.Int64(), pl.Boolean(), None),
    (pl.Date(), DATETIME, None),
    (pl.Binary(), pl.String(), None),
]


@pytest.mark.parametrize(("one", "other", "both"), UNITED, ids=str)
def test_two_types_are_united_in_either_order(one: pl.DataType, other: pl.DataType, both: pl.DataType | None) -> None:
    assert united(one, other) == both
    assert united(other, one) == both
    assert united(one, one) == one


LOST: list[tuple[pl.DataType, pl.DataType, list[Any], list[bool]]] = [
    (pl.Int64(), pl.Float64(), [2**53, 2**53 + 1, 2**60, -(2**63), None], [False, True, True, True, False]),
    (pl.UInt64(), pl.Float64(), [2**64 - 1, 5], [True, False]),
    (pl.Datetime("ns"), DATETIME, [1000, 1001, None], [False, True, False]),
    (pl.Datetime("ms"), DATETIME, [2**62, 5], [True, False]),
    (pl.Decimal(38, 0), pl.Decimal(38, 10), [10**37, 1], [True, False]),
    (pl.List(pl.Int64()), pl.List(pl.Float64()), [[1, None], [2**53 + 1], None, []], [False, True, False, False]),
]


@pytest.mark.parametrize(("own", "common", "values", "expected"), LOST, ids=str)
def test_a_value_that_does_not_fit_is_found(
    own: pl.DataType, common: pl.DataType, values: list[Any], expected: list[bool]
) -> None:
    broken = lost("x", own, common)
    assert broken is not None
    assert pl.Series("x", values).cast(own).to_frame().select(broken).to_series().to_list() == expected


@given(number=st.integers(-(2**53), 2**53), kind=st.sampled_from([pl.Int64(), pl.Float64(), pl.Decimal(38, 4)]))
def test_numbers_that_nobody_calls_lost_come_back(number: int, kind: pl.DataType) -> None:
    own = pl.Series("x", [number], dtype=pl.Int64)
    both = united(pl.Int64(), kind)
    assert both is not None
    broken = lost("x", pl.Int64(), both)
    if broken is None or not own.to_frame().select(broken).item():
        assert own.cast(both).cast(pl.Int64).equals(own)
