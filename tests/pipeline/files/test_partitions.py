"""Partitions of paths as columns of a declared type, and the values of one content in several of them."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.files.parquet import scan_as
from pipeline.files.partitions import PartitionType, parts_of, type_like, value_of
from tests.commands import run
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write

COUNTRY = "[data]\npartitions = { country = 'text' }"


def by_country() -> None:
    for (country,), rows in shop_log().group_by("country"):
        write(rows.drop("country"), f"logs/country={country}/p.parquet")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("logs/dt=2026-01-31/country=NL/p.parquet", {"dt": "2026-01-31", "country": "NL"}),
        ("/data/a%3Db=x%20y%2Fz/p", {"a=b": "x y/z"}),
        ("k=a=b/p", {"k": "a=b"}),
        ("k=/p", {"k": ""}),
        ("k=__HIVE_DEFAULT_PARTITION__/p", {"k": None}),
        ("k=1/k=2/p", {"k": "2"}),
        ("logs/k=1.parquet", {}),  # a file is no folder
    ],
)
def test_the_folders_of_a_path_are_its_partitions(path: str, parts: dict[str, str | None]) -> None:
    assert parts_of(Path(path)) == parts


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ("text", "007", "007"),
        ("integer", "007", 7),
        ("integer", "-3", -3),
        ("number", "1.5", 1.5),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("date", "20260131", date(2026, 1, 31)),
        ("integer", "1.5", None),
        ("integer", "NL", None),
        ("boolean", "1", None),
        ("date", "31.01.2026", None),
    ],
)
def test_a_value_is_of_its_type(declared: PartitionType, text: str, value: Any) -> None:
    path = Path(f"logs/k={text}/p.parquet")
    if value is None:
        with pytest.raises(ValueError, match=f"`k={text}` of a path is no {declared}"):
            value_of(path, "k", declared)
    else:
        assert value_of(path, "k", declared) == value
    assert value_of(Path("k=__HIVE_DEFAULT_PARTITION__/p"), "k", declared) is None


@pytest.mark.parametrize(
    ("dtype", "declared"),
    [("UInt8", "integer"), ("Float32", "number"), ("Boolean", "boolean"), ("Date", "date"), ("Categorical", "text")],
)
def test_a_path_of_rows_to_score_has_the_type_of_training(dtype: str, declared: PartitionType) -> None:
    assert type_like(dtype) == declared


def test_constants_have_as_many_rows_as_the_file() -> None:
    path = write(shop_log().drop("country"), "logs/country=NL/p.parquet")
    schema = pl.Schema({"country": pl.String(), "nothing": pl.Int64()})
    assert scan_as(path, schema).collect().height == 3000
    found = scan_as(path, schema, 2990, 100).collect(engine="streaming")
    assert found.rows() == [("NL", None)] * 10


def test_a_partition_is_a_feature_like_any_other() -> None:
    write(shop_log(), "whole/p.parquet")
    expected = prepare(shop_config(None, None, "data.train='whole'"))
    by_country()
    config = shop_config(None, {"[data]": COUNTRY}, "spec.group='country'", "contract.unique=['country','click_id']")
    prepared = prepare(config)
    assert prepared.rows == ROWS
    assert prepared.encoder().dtypes["country"] == "String"
    texts = {}
    for data in (expected, prepared):
        vocabulary = dict(enumerate(data.encoder().vocabularies["country"], 3))
        rows = data.scan("train").collect().get_column("id.country").to_list()
        texts[data.fingerprint] = sorted(vocabulary[n] for n in rows)
    first, second = texts.values()
    assert first == second


def test_a_partition_splits_by_time_and_is_a_tasks_source() -> None:
    log = shop_log().drop("country")
    for n in range(6):
        part = log[500 * n : 500 * n + 500]
        write(part, f"logs/dt={date(2026, 1, 1) + timedelta(n)}/source={n % 2}/p.parquet")
    by_day = {
        "[data]": "[data]\npartitions = { dt = 'date', source = 'integer' }",
        'key = "click_id"\nvalidation = 0.2\ntest = 0.2': "time = 'dt'\nvalidation = 2026-01-05\ntest = 2026-01-06",
        'country = { kind = "categorical" }': 'source = { kind = "categorical" }',
        'positive = "carted = 1"': "positive = 'carted = 1', where = \"dt > DATE '2026-01-01'\"",
    }
    prepared = prepare(shop_config(None, by_day))
    assert prepared.rows == {"train": 2000, "val": 500, "test": 500}
    assert prepared.manifest["splits"]["train"]["tasks"]["cart"]["known"] == 1500
    assert prepared.encoder().dtypes["source"] == "Int64"


def test_the_values_are_part_of_what_data_is_only_where_they_are_declared() -> None:
    half = [shop_log()[:1500], shop_log()[1500:]]
    for place in (0, 1):
        write(half[place], f"logs/kind={place}/p.parquet")
    plain = prepare(shop_config())
    declared = shop_config(None, {"[data]": "[data]\npartitions = { kind = 'integer' }"}, "data.grow=true")
    first = prepare(declared)
    assert "partitions" not in plain.manifest
    assert first.manifest["partitions"] == {"kind": "integer"}
    shutil.move("logs/kind=1", "logs/kind=2")
    assert prepare(shop_config()).fingerprint == plain.fingerprint
    assert prepare(declared).fingerprint != first.fingerprint


def test_one_content_in_two_partitions_is_two_tables_only_if_they_are_columns() -> None:
    rows = shop_log()[:1500].drop("country")
    write(rows, "logs/country=NL/p.parquet")
    write(rows, "logs/country=DE/p.parquet")
    options = ("split.key='item_id'",)
    changed = {'price = { kind = "numeric", buckets = 8 }': "", "[data]": COUNTRY}
    prepared = prepare(shop_config(None, changed, *options))
    assert sum(prepared.rows.values()) == 3000
    assert prepared.encoder().vocabularies["country"].len() == 2
    changed = {'country = { kind = "categorical" }': ""}
    with pytest.raises(InputError, match=r"DE/p\.parquet and logs/country=NL/p\.parquet have the same content"):
        prepare(shop_config(None, changed, *options))


@pytest.mark.parametrize(
    ("path", "rows", "declared", "sentence"),
    [
        ("logs/p.parquet", None, "text", r"`country` is declared as a partition, and a path has no `country=...`"),
        ("logs/country=NL/p.parquet", "country", "text", r"`country` is declared as a partition, and is a column"),
        ("logs/country=NL/p.parquet", None, "integer", r"`country=DE` of a path is no integer; mend the path, or decl"),
        ("logs/country=2026-13-01/p.parquet", None, "date", r"`country=2026-13-01` of a path is no date"),
    ],
)
def test_a_declaration_that_does_not_fit_names_the_file(
    path: str, rows: str | None, declared: str, sentence: str
) -> None:
    by_country()
    write(shop_log() if rows else shop_log().drop("country"), path.replace("/p.", "/other."))
    with pytest.raises(InputError, match=sentence) as error:
        prepare(shop_config(None, {"[data]": COUNTRY.replace("text", declared)}))
    assert path.replace("/p.", "/other.") in str(error.value) or declared == "integer"


def test_events_may_lie_in_folders_of_their_kind() -> None:
    start = pl.datetime(2026, 1, 1)
    for minute, kind in enumerate(("view", "buy")):
        rows = pl.DataFrame({"user_id": [1, 2 - minute], "item_id": [7, 7]}).with_columns(
            ts=start + pl.duration(minutes=minute)
        )
        write(rows, f"events/event={kind}/p.parquet")
    late = {"user_id": [9], "item_id": [9]}
    write(pl.DataFrame(late).with_columns(ts=start + pl.duration(days=3)), "events/event=pv/p.parquet")
    code, _, err = run("label", "events", "--out", "clicks")
    assert code == 2
    assert "column `event` (`--event`) is missing" in " ".join(err.split())
    code, _, err = run("label", "events", "--out", "clicks", "--partition", "event=text")
    assert code == 0, err
    clicks = pl.read_parquet("clicks/**/*.parquet", hive_partitioning=False).sort("user_id")
    assert clicks.select("user_id", "event", "purchase").rows() == [(1, "view", 1), (2, "view", 0), (9, "pv", None)]
    code, _, err = run("label", "events", "--out", "clicks", "--partition", "event=word")
    assert code == 2
    assert "a partition is NAME=TYPE, its type text, integer, number, boolean, date; found `event=word`" in err
