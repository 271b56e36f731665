"""Ids and times of event streams as other tools write them: gaps as NaN, unsigned ids, numbers since 1970."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pytest

from features.errors import InputError
from features.transforms import Unit
from pipeline.sources.attribution import CREDITED_TASKS, Events
from pipeline.sources.labelling import label_events
from tests.commands import run
from tests.pipeline.sources.event_stream import STREAM, frame, labelled

NAN = float("nan")
EXPECTED = labelled(frame(STREAM))
KNOWN = {t: {"known": EXPECTED[t].count(), "positives": EXPECTED[t].sum()} for t in CREDITED_TASKS}


def labels_of(table: pl.DataFrame, events: Events = Events()) -> pl.DataFrame:
    """The clicks of a table, labelled by way of a file."""
    table.write_parquet("events.parquet")
    label_events("events.parquet", Path("clicks"), events, "24h")
    return pl.read_parquet("clicks/**/*.parquet", hive_partitioning=False)


def test_users_that_are_nan_are_unknown() -> None:
    at = [datetime(2026, 1, 1, 0, minute) for minute in (0, 1, 0, 1, 0, 1, 0)]
    table = pl.DataFrame(
        {
            "user_id": [NAN, NAN, None, None, 1.0, 1.0, 2.0, 3.0],
            "item_id": [7] * 8,
            "ts": [*at, datetime(2026, 1, 5)],
            "event": ["view", "buy"] * 3 + ["view", "view"],
        }
    )
    found = labels_of(table)
    assert found.select("user_id", "purchase").rows()[2:] == [(1.0, 1), (2.0, 0), (3.0, None)]
    assert found["purchase"][:2].null_count() == 2
    assert np.isnan(found["user_id"][0])


@pytest.mark.parametrize("gap", [NAN, None])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_gaps_are_the_same_as_nulls_and_as_nan(column: str, gap: float | None) -> None:
    generator = np.random.default_rng(0)
    base = datetime(2026, 1, 1).timestamp()
    ids = {name: generator.integers(0, 20, 2000).astype(float) for name in ("user_id", "item_id")}
    table = pl.DataFrame(
        {
            **ids,
            "ts": pl.from_epoch(pl.Series(base + generator.integers(0, 200_000, 2000)).cast(pl.Int64), "s"),
            "event": generator.choice(["view", "buy", "cart"], 2000),
            "page": range(2000),
        }
    )
    gaps = table.with_columns(pl.when(pl.col(column) < 3).then(pl.lit(gap, pl.Float64)).otherwise(column).alias(column))
    found = labels_of(gaps).sort("page")
    of_known = labelled(table.filter(pl.col(column) >= 3).vstack(table.filter(pl.col("ts") == table["ts"].max())))
    known = found.filter(pl.col("page").is_in(of_known["page"].implode()))
    unknown = found.filter(pl.col(column).is_null() | pl.col(column).is_nan())["purchase"]
    assert unknown.null_count() == len(unknown) > 50
    pl.testing.assert_series_equal(known["purchase"], of_known.unique("page").sort("page")["purchase"])


@pytest.mark.parametrize("dtype", [pl.UInt64, pl.UInt8, pl.Float64, pl.Float32, pl.Int16, pl.String])
def test_ids_of_any_one_type_match_themselves(dtype: type[pl.DataType]) -> None:
    table = frame(STREAM).with_columns(pl.col("item_id").cast(dtype))
    assert labels_of(table).sort("page").select(CREDITED_TASKS).equals(EXPECTED.select(CREDITED_TASKS))


def test_ids_above_63_bits_are_told_apart() -> None:
    table = frame(STREAM).with_columns(pl.col("item_id").cast(pl.UInt64) + pl.lit(2**64 - 20, pl.UInt64))
    assert labels_of(table).sort("page").select(CREDITED_TASKS).equals(EXPECTED.select(CREDITED_TASKS))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.UInt64])
def test_times_can_be_numbers_since_1970(unit: Unit, dtype: type[pl.DataType]) -> None:
    whole = frame(STREAM).with_columns(pl.col("ts").dt.truncate("1s"))
    numbers = whole.with_columns(pl.col("ts").dt.epoch(unit).cast(dtype))
    found = labels_of(numbers, Events(unit=unit)).sort("page")
    pl.testing.assert_frame_equal(found.select(CREDITED_TASKS), labelled(whole).sort("page").select(CREDITED_TASKS))
    assert found.schema["ts"] == dtype
    assert sorted(path.name for path in Path("clicks").glob("dt=*")) == ["dt=2026-01-01", "dt=2026-01-02"]


@pytest.mark.parametrize(
    ("ts", "unit", "said"),
    [
        (pl.col("ts").dt.epoch("s"), None, "`ts` (`--time`) holds Int64; a timestamp is a Datetime, or a number since"),
        (pl.col("ts").dt.date(), "ms", "`ts` (`--time`) holds Date"),
        (pl.col("ts").dt.to_string("iso"), "s", "`ts` (`--time`) holds String"),
        (pl.col("ts").dt.time(), None, "`ts` (`--time`) holds Time"),
        (pl.col("ts").dt.epoch("s"), "ms", "most of its numbers are no times of these centuries in `--unit ms`"),
        (pl.col("ts").dt.epoch("us"), "ns", "most of its numbers are no times of these centuries in `--unit ns`"),
        (pl.col("ts").dt.epoch("us"), "s", "has no time in 40 row(s); an event needs its time"),
        (pl.concat_list(pl.col("ts")), None, "`ts` (`--time`) holds List"),
    ],
)
def test_times_that_are_none_are_one_clean_error(ts: pl.Expr, unit: str | None, said: str) -> None:
    frame(STREAM).with_columns(ts=ts).write_parquet("events.parquet")
    code, _, err = run("label", "events.parquet", *(["--unit", unit] if unit else []))
    assert code == 2
    assert said.replace("40", str(len(STREAM))) in " ".join(err.split())


@pytest.mark.parametrize("ids", [pl.concat_list("item_id"), pl.struct("item_id")])
def test_an_id_is_one_value(ids: pl.Expr) -> None:
    frame(STREAM).with_columns(item_id=ids).write_parquet("events.parquet")
    with pytest.raises(InputError, match=r"`item_id` \(`--item`\) holds (List|Struct).*; an id is one value a row"):
        label_events("events.parquet", Path("clicks"), Events(), "24h")


def test_codes_of_events_may_be_whole_floats() -> None:
    codes: dict[str, Any] = {"view": 1.0, "click": 1.0, "pv": 1.0, "cart": 2.0, "buy": 3.0}
    table = frame(STREAM).with_columns(pl.col("event").replace_strict(codes, default=4.0, return_dtype=pl.Float64))
    events = Events(click=("1",), cart=("2",), purchase=("3",), wish=("4",))
    assert labels_of(table, events).sort("page").select(CREDITED_TASKS).equals(EXPECTED.select(CREDITED_TASKS))


def test_clicks_that_were_labelled_before_there_were_units_are_found() -> None:
    frame(STREAM).write_parquet("events.parquet")
    assert label_events("events.parquet", Path("clicks"), Events(), "24h")["tasks"] == KNOWN
    manifest = json.loads(Path("clicks/manifest.json").read_text())
    assert manifest["format"] == 1
    assert "unit" not in manifest["events"]
