"""A log whose schema grows: lossless types are united and said once, anything else names both files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write

Change = Callable[[pl.DataFrame], pl.DataFrame]
FEATURES = {
    "tags": '{ kind = "multi_hot" }',
    "user_id": '{ kind = "categorical", buckets = 50 }',
    "hour": '{ kind = "time", column = "ts", part = "hour" }',
}


def cast(**kinds: pl.DataType) -> Change:
    return lambda frame: frame.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())


def with_null(name: str) -> Change:
    return lambda frame: frame.with_columns(pl.lit(None).alias(name))


def encoded(prepared: Prepared) -> dict[str, pl.DataFrame]:
    return {split: prepared.scan(split).collect() for split in ROWS}


def both(first: Change, second: Change) -> None:
    write(shop_log()[:1500].pipe(first), "logs/a.parquet")
    write(shop_log()[1500:].pipe(second), "logs/b.parquet")


def whole(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows whose price is a whole number that every number type holds."""
    return frame.with_columns(price=pl.col("price").round(0))


@cache
def of_one_type(unused: str) -> dict[str, pl.DataFrame]:
    """The encoded rows of one file, for all features but those of a column."""
    write(whole(shop_log()), "one/a.parquet")
    used = {name: kind for name, kind in FEATURES.items() if name != unused}
    return encoded(prepare(shop_config(used, None, "data.train='one'", "data.prepared='of-one'")))


SAME: dict[str, tuple[Change, Change, str]] = {
    "a new column": (lambda f: f, lambda f: f.with_columns(campaign=pl.lit("x")), ""),
    "a pandas index": (lambda f: f.with_columns(__index_level_0__=1), lambda f: f, ""),
    "an unused column of two types": (cast(user_id=pl.Int32()), cast(user_id=pl.String()), ""),
    "columns in another order": (lambda f: f, lambda f: f.select(reversed(f.columns)), ""),
    "integers": (
        cast(item_id=pl.Int32()),
        lambda f: f,
        "`item_id` is Int32 in 1 file(s), Int64 in 1 file(s); it is read as Int64",
    ),
    "unsigned integers": (cast(item_id=pl.UInt64()), cast(item_id=pl.Int8()), "it is read as Int128"),
    "a label": (cast(bought=pl.Float64()), cast(carted=pl.UInt8(), bought=pl.Int8()), "`bought` is Float64 in 1"),
    "a day without gaps": (cast(price=pl.Decimal(10, 0)), cast(price=pl.Int16()), "read as Decimal(precision=10, scal"),
    "single floats": (cast(price=pl.Float32()), cast(price=pl.Int32()), "`price` is Float32 in 1 file(s), Int32 in 1"),
    "ids with gaps": (cast(item_id=pl.Float64()), lambda f: f, "`item_id` is Float64 in 1 file(s), Int64 in 1"),
    "categories": (cast(country=pl.Categorical()), lambda f: f, "`country` is Categorical in 1 file(s), String in 1"),
    "two lists of categories": (
        cast(country=pl.Enum(["NL", "DE", "FR"])),
        cast(country=pl.Enum(["NL", "DE", "FR", "BE"])),
        "it is read as String",
    ),
    "units of time": (cast(ts=pl.Datetime("ms")), cast(ts=pl.Datetime("ns")), "it is read as Datetime(time_unit='us'"),
    "entries of lists": (cast(tags=pl.List(pl.Int16())), lambda f: f, "it is read as List(Int64)"),
    "a split key": (cast(click_id=pl.UInt32()), cast(click_id=pl.Int16()), "`click_id` is UInt32 in 1"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_rows_are_those_of_one_type(name: str) -> None:
    first, second, sentence = SAME[name]
    unused = "user_id" if name == "an unused column of two types" else ""
    used = {n: kind for n, kind in FEATURES.items() if n != unused}
    both(lambda frame: first(whole(frame)), lambda frame: second(whole(frame)))
    prepared = prepare(shop_config(used))
    assert prepared.rows == ROWS
    for split, rows in encoded(prepared).items():
        assert rows.sort(rows.columns).equals(of_one_type(unused)[split].sort(rows.columns)), split
    widened = prepared.manifest["widened"]
    assert any(sentence in text for text in widened) if sentence else widened == []


def test_a_day_without_a_value_has_a_type_of_its_own() -> None:
    both(with_null("price"), lambda frame: frame)
    prepared = prepare(shop_config())
    assert prepared.rows == ROWS
    assert prepared.manifest["widened"] == ["`price` is Null in 1 file(s), Float64 in 1 file(s); it is read as Float64"]
    assert prepared.encoder().dtypes["price"] == "Float64"


def test_it_is_said_once() -> None:
    both(cast(item_id=pl.Int32()), lambda frame: frame)
    write(shop_log()[:7].with_columns(pl.col("click_id") + 9000), "logs/x.parquet.old")
    sentence = "`item_id` is Int32 in 1 file(s), Int64 in 1 file(s); it is read as Int64"
    shop_config()
    for _ in range(2):  # also of data that is found complete
        code, out, _ = run("prepare", "shop.toml")
        assert code == 0
        assert " ".join(out.split()).count(sentence) == 1
        assert "1 file(s) left out, as logs/x.parquet.old" in out
    code, out, _ = run("prepare", "shop.toml", "--json")
    found = json.loads(out)
    assert found["widened"] == [sentence]
    assert found["left_out"] == {"train": ["logs/x.parquet.old"]}


APART: dict[str, tuple[Change, Change, str]] = {
    "text and numbers": (
        cast(item_id=pl.String()),
        lambda f: f,
        "logs/b.parquet differs: `item_id` is Int64, not String as in 1 of 2 files (first in logs/a.parquet)",
    ),
    "zones": (
        lambda f: f.with_columns(pl.col("ts").dt.replace_time_zone("UTC")),
        lambda f: f,
        "`ts` is Datetime(time_unit='us', time_zone=None), not Datetime(time_unit='us', time_zone='UTC') as in 1 of 2",
    ),
    "a needed column is missing": (
        lambda f: f.drop("country"),
        lambda f: f,
        "logs/a.parquet differs: `country` is no column, not String as in 1 of 2 files (first in logs/b.parquet)",
    ),
    "large integers beside floats": (
        lambda f: f.with_columns(item_id=2**53 + pl.col("item_id")),
        lambda f: f.with_columns(item_id=pl.col("item_id").cast(pl.Float64)),
        "column `item_id` holds Int64 that Float64 cannot, in 1500 row(s) of 1 file(s), first in logs/a.parquet",
    ),
    "nanoseconds beside microseconds": (
        lambda f: f.with_columns(pl.col("ts").cast(pl.Datetime("ns")) + pl.duration(nanoseconds=1)),
        lambda f: f,
        "column `ts` holds Datetime(time_unit='ns', time_zone=None) that Datetime(time_unit='us', time_zone=None) can",
    ),
    "lists of text and of numbers": (cast(tags=pl.List(pl.String())), lambda f: f, "logs/b.parquet differs: `tags` is"),
}


@pytest.mark.parametrize("name", APART)
def test_what_loses_a_value_is_an_error_that_names_both_files(name: str) -> None:
    first, second, sentence = APART[name]
    both(first, second)
    with pytest.raises(InputError) as error:
        prepare(shop_config(FEATURES))
    assert sentence in str(error.value)
    assert not list(Path("prepared").glob("[!.]*"))


def test_holdout_and_training_are_read_as_one_type() -> None:
    write(shop_log()[:1500].with_columns(pl.col("click_id").cast(pl.Float64)), "logs/a.parquet")
    write(shop_log()[1400:], "held/b.parquet")
    options = ("data.holdout='held'", "split.validation=0.5", "split.test=0.5", "contract.unique=['click_id']")
    with pytest.raises(InputError, match=r"data.train and data.holdout share 100 row\(s\)"):
        prepare(shop_config(None, None, *options))


def events(number: int, rows: pl.DataFrame) -> None:
    write(rows, f"events/{number}.parquet")


def test_events_may_gain_a_column_and_wider_types() -> None:
    start = datetime(2026, 1, 1)
    times = [start + timedelta(minutes=n) for n in range(4)]
    kinds = ["view", "buy", "view", "view"]
    old = {"user_id": [1, 1, 2, 3], "item_id": [7] * 4, "ts": times, "event": kinds}
    events(0, pl.DataFrame(old).with_columns(pl.col("user_id").cast(pl.Int32)))
    later = {"user_id": [1.0, None], "item_id": [7] * 2, "ts": [start + timedelta(days=3, hours=n) for n in (0, 30)]}
    events(1, pl.DataFrame({**later, "event": ["view"] * 2, "page": ["a", "b"]}))
    code, out, err = run("label", "events", "--out", "clicks", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["widened"] == ["`user_id` is Int32 in 1 file(s), Float64 in 1 file(s); it is read as Float64"]
    clicks = pl.read_parquet("clicks/**/*.parquet", hive_partitioning=False).sort("ts")
    assert clicks.get_column("page").to_list() == [None, None, None, "a", "b"]
    assert clicks.get_column("purchase").to_list() == [1, 0, 0, 0, None]
    assert clicks.schema["user_id"] == pl.Float64
    events(2, pl.DataFrame({**old, "page": [[1]] * 4}))
    code, _, err = run("label", "events", "--out", "other")
    assert code == 2
    assert "events/2.parquet differs: `page` is List(Int64), not String as in 1 of 3 files" in " ".join(err.split())
