"""Single files: damage is told apart from a query that the rows do not allow."""

from __future__ import annotations

import decimal
import pickle
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.files.parquet import DamagedError, collect, read_schema, scan
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write
from tests.pipeline.validation.conftest import damage


@pytest.mark.parametrize(
    "query",
    [
        pl.col("country").cast(pl.Int64),
        pl.col("sid").cast(pl.String).str.len_bytes().sum(),
        pl.col("item_id").cast(pl.Int8).cast(pl.UInt8),
        pl.col("tags").list.get(7),
    ],
    ids=["text", "binary", "narrow", "list"],
)
def test_an_error_of_a_query_keeps_its_own_words(query: pl.Expr) -> None:
    path = write(shop_log().with_columns(sid=pl.lit(b"\xff\xfe"), item_id=pl.col("item_id") * 9))
    with pytest.raises(pl.exceptions.PolarsError) as own:
        scan(path).select(query).collect()
    with pytest.raises(InputError, match="can be read, but its rows do not allow what is asked") as error:
        collect(path, scan(path).select(query))
    assert not isinstance(error.value, DamagedError)
    assert "remove or replace it" not in str(error.value)
    assert str(own.value).partition(" ")[0] in str(error.value)


@pytest.mark.parametrize("query", [pl.col("price").sum(), pl.col("price").cast(pl.String), pl.col("country", "price")])
def test_damaged_pages_are_damage(query: pl.Expr) -> None:
    path = write(shop_log())
    damage(path, "price")
    with pytest.raises(DamagedError, match=r"part-0.parquet is not a readable Parquet file .*; remove or replace it"):
        collect(path, scan(path).select(query))


def test_damage_elsewhere_is_no_reason() -> None:
    path = write(shop_log())
    damage(path, "price")
    assert collect(path, scan(path).select("country")).height == 3000
    with pytest.raises(InputError, match="can be read, but") as error:
        collect(path, scan(path).select(pl.col("country").cast(pl.Int64)))
    assert not isinstance(error.value, DamagedError)


def test_a_column_that_is_there_twice_is_to_be_renamed() -> None:
    path = Path("twice.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["price", "price"]), path)
    with pytest.raises(DamagedError, match=r"column with name 'price' has more than one .*rename one of the columns"):
        read_schema(path)
    error = DamagedError(path, "why", "do this")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_columns_that_nobody_uses_may_be_of_any_type() -> None:
    """BigQuery's BIGNUMERIC, and maps."""
    rows = shop_log().to_arrow()
    huge = pa.array([decimal.Decimal(1)] * len(rows), pa.decimal256(76, 38))
    pairs = pa.array([[("k", 1)]] * len(rows), pa.map_(pa.string(), pa.int64()))
    Path("logs").mkdir()
    pq.write_table(rows.append_column("huge", huge).append_column("pairs", pairs), "logs/a.parquet")
    assert prepare(shop_config()).rows == ROWS
