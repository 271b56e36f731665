"""Keys of a split in files whose types write one value in several ways."""

from __future__ import annotations

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Decimal(10, 2)])
def test_a_key_whose_types_write_a_value_in_several_ways_is_an_error(kind: pl.DataType) -> None:
    rows = shop_log()
    write(rows[:2900], "logs/a.parquet")
    write(rows[2900:].cast({"click_id": kind}), "logs/b.parquet")
    with pytest.raises(InputError, match=r"`click_id` \(`\[split\] key`\) is Int64 in logs/a.parquet and .* in logs/b"):
        prepare(shop_config())


@pytest.mark.parametrize("kind", [pl.Int32, pl.UInt64, pl.UInt16])
def test_integers_of_any_size_are_one_key(kind: pl.DataType) -> None:
    rows = shop_log()
    write(rows[:2900], "logs/a.parquet")
    write(rows[2900:].cast({"click_id": kind}), "logs/b.parquet")
    assert prepare(shop_config()).rows == ROWS


def test_texts_of_any_type_are_one_key() -> None:
    rows = shop_log().cast({"click_id": pl.String})
    write(rows[:2900], "logs/a.parquet")
    write(rows[2900:].cast({"click_id": pl.Categorical}), "logs/b.parquet")
    assert prepare(shop_config()).rows == ROWS
