"""Splits by time: at days, at any moment, and by shares whose moments are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.transforms import Unit
from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig
from pipeline.data import moments
from pipeline.data.moments import with_moments
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.registry.heldout import held_out
from tests.commands import run
from tests.pipeline.small_shop import shop_config, shop_log, write, write_config

BY_KEY = 'key = "click_id"\nvalidation = 0.2\ntest = 0.2'
KIND = pl.Datetime("us")
LOG = shop_log()


def config(split: str, *overrides: str) -> RunConfig:
    return shop_config(None, {BY_KEY: f'time = "ts"\n{split}'}, *overrides)


def expected(validation: datetime, test: datetime, log: pl.DataFrame = LOG) -> dict[str, int]:
    """The rows of each split, counted in memory."""
    before, between = (log.filter(pl.col("ts") < end).height for end in (validation, test))
    return {"train": before, "val": between - before, "test": log.height - between}


DAY, NOON = datetime(2026, 1, 6), datetime(2026, 1, 5, 12)


@pytest.mark.parametrize(
    ("text", "validation", "test"),
    [
        ("validation = 2026-01-05\ntest = 2026-01-06", datetime(2026, 1, 5), DAY),
        ("validation = 2026-01-05T12:00:00\ntest = 2026-01-06", NOON, DAY),
        ("validation = 2026-01-05T14:00:00+02:00\ntest = 2026-01-06T00:00:00Z", NOON, DAY),
        ('validation = "2026-01-05 12:00"\ntest = "2026-01-06"', NOON, DAY),
        ('validation = "2026-01-05T07:00:00-05:00"\ntest = "2026-01-06T00:00:00+00:00"', NOON, DAY),
        ("validation = 2026-01-05T12:00:00.000001\ntest = 2026-01-06", NOON + timedelta(microseconds=1), DAY),
    ],
)
def test_validation_and_test_begin_at_any_moment(text: str, validation: datetime, test: datetime) -> None:
    write(LOG)
    assert prepare(config(text)).rows == expected(validation, test)


def test_a_midnight_is_its_day_and_dumps_of_before_stay_the_same() -> None:
    days = SplitConfig.model_validate({"time": "ts", "validation": date(2026, 1, 5), "test": date(2026, 1, 6)})
    dumped = {"key": None, "time": "ts", "seed": 0, "validation": "2026-01-05", "test": "2026-01-06"}
    assert days.model_dump(mode="json") == dumped
    assert SplitConfig.model_validate(dumped) == days
    zoned = {**dumped, "validation": "2026-01-05T01:00:00+01:00", "test": datetime(2026, 1, 6, tzinfo=UTC)}
    assert SplitConfig.model_validate(zoned) == days
    shares = SplitConfig.model_validate({"key": "k", "validation": 0.2, "test": 0.3})
    assert shares.model_dump(mode="json") == {"key": "k", "time": None, "seed": 0, "validation": 0.2, "test": 0.3}


AMSTERDAM = pl.col("ts").dt.replace_time_zone("Europe/Amsterdam")


@pytest.mark.parametrize(
    "time",
    [
        AMSTERDAM,
        AMSTERDAM.dt.cast_time_unit("ns"),
        AMSTERDAM.dt.convert_time_zone("America/New_York").dt.cast_time_unit("ms"),
    ],
)
def test_days_are_those_of_utc_and_an_offset_is_exact(time: pl.Expr) -> None:
    write(LOG.with_columns(time))
    an_hour = timedelta(hours=1)
    days = prepare(config("validation = 2026-01-05\ntest = 2026-01-06"))
    assert days.rows == expected(datetime(2026, 1, 5) + an_hour, DAY + an_hour)
    local = prepare(config("validation = 2026-01-05T00:00:00+01:00\ntest = 2026-01-06T00:00:00+01:00"))
    assert local.rows == expected(datetime(2026, 1, 5), DAY)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64])
def test_times_are_numbers_in_a_unit(unit: Unit, dtype: type[pl.DataType]) -> None:
    write(LOG.with_columns(pl.col("ts").dt.epoch(unit).cast(dtype)))
    split = f'unit = "{unit}"\nvalidation = 2026-01-05T12:00:00\ntest = 2026-01-06'
    assert prepare(config(split)).rows == expected(NOON, DAY)
    assert prepare(config(f'unit = "{unit}"\nvalidation = 0.1\ntest = 0.2')).rows == {
        "train": 2100,
        "val": 300,
        "test": 600,
    }


@pytest.mark.parametrize(
    ("split", "column", "said"),
    [
        ("validation = 2026-01-05\ntest = 2026-01-06", pl.col("ts").dt.epoch("s"), "or say in which `unit` its"),
        (
            'unit = "ms"\nvalidation = 2026-01-05\ntest = 2026-01-06',
            pl.col("ts").dt.epoch("s"),
            "`ts` (`[split] time`) holds 1767225600 and",
        ),
        ("validation = 2026-01-05\ntest = 2026-01-06", pl.col("ts").dt.to_string("iso"), "holds String; a split"),
        (
            "validation = 2025-12-01T06:00:00\ntest = 2025-12-02",
            pl.col("ts"),
            "`ts` is from 2026-01-01 00:00:00 to 2026-01-07 23:56:00, in UTC, validation begins at 2025-12-01 06:00:00",
        ),
        ("validation = 2026-01-05\ntest = 2026-02-06", pl.col("ts"), "test has no rows"),
        ("validation = 0.1\ntest = 0.1", pl.lit(DAY), "`ts` cannot be split by these shares"),
        (
            "validation = 0.1\ntest = 0.1",
            pl.when(pl.col("click_id") < 1500).then("ts").otherwise(pl.lit(DAY)),
            "rows of one instant stay together: give other shares, or the moments",
        ),
        ("validation = 0.1\ntest = 0.1", pl.when(pl.col("click_id") > 9).then("ts"), "is null in 10 rows"),
    ],
)  # fmt: skip
def test_times_that_cannot_be_split_are_one_clean_error(split: str, column: pl.Expr, said: str) -> None:
    write(LOG.with_columns(column.alias("ts")))
    with pytest.raises(InputError) as error:
        prepare(config(split))
    assert said in " ".join(str(error.value).split())
    assert not [path for path in Path("prepared").iterdir() if path.name != ".lock"]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("validation = 2026-01-06\ntest = 2026-01-05", "split: validation begins before test does: found validation ="),
        ("validation = 2026-01-06\ntest = 2026-01-06", "split: validation begins before test does"),
        ("validation = 0.1\ntest = 2026-01-05", "split: `validation` and `test` are two shares, or the beginnings"),
        ("validation = 0.1", "split: with `time`, give `validation` and `test`: the shares of the last"),
        ("validation = 0.5\ntest = 0.6", "split.validation + split.test should leave rows to train on, found 1.1"),
        ('validation = "soon"\ntest = 0.1', "split.validation: should be a share of the rows (0.1), a day"),
        ("validation = 12:00:00\ntest = 0.1", "split.validation: should be a share of the rows (0.1), a day"),
        ("validation = 1.0\ntest = 0.1", "split.validation: should be a share of the rows (0.1), a day"),
        ("validation = 20260106\ntest = 0.1", "split.validation: should be a share of the rows (0.1), a day"),
    ],
)  # fmt: skip
def test_a_split_by_time_that_is_none_is_one_sentence(split: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        config(split)
    assert said in str(error.value)
    assert str(error.value).startswith("shop.toml: 1 problem(s)\n")


def test_a_unit_is_that_of_a_time() -> None:
    with pytest.raises(InputError, match="`unit` is that of the numbers in `time`; a `key` has none"):
        shop_config(None, {BY_KEY: BY_KEY + '\nunit = "s"'})


@given(st.data())
@settings(max_examples=40)
def test_the_moments_are_order_statistics_whatever_the_times(data: st.DataObject) -> None:
    draw = data.draw
    spread = draw(st.sampled_from([1, 7, 1000, 10**6, 10**13]))
    seed, rows = draw(st.integers(0, 10**6)), draw(st.integers(5, 300))
    times = np.sort(1_767_225_600_000_000 + np.random.default_rng(seed).integers(0, spread, rows))
    validation, test = draw(st.sampled_from([(0.1, 0.1), (0.2, 0.3), (0.01, 0.5), (0.45, 0.45)]))
    split = SplitConfig(time="ts", validation=validation, test=test)
    firsts = [times[min(round(rows * share), rows - 1)] for share in (1 - validation - test, 1 - test)]
    shuffled = pl.Series("ts", np.random.default_rng(seed).permutation(times)).cast(pl.Datetime("us")).to_frame()
    paths = [Path(f"{n}.parquet") for n in range(3)]
    for path, part in zip(
        paths, [shuffled[: rows // 3], shuffled[rows // 3 : rows // 3 + 1], shuffled[rows // 3 + 1 :]], strict=True
    ):
        part.write_parquet(path)
    if not times[0] < firsts[0] < firsts[1]:
        with pytest.raises(InputError, match="cannot be split by these shares"):
            with_moments(split, KIND, paths)
        return
    found = with_moments(split, KIND, paths)
    assert [int((m - datetime(1970, 1, 1)) / timedelta(microseconds=1)) for m in found.moments] == firsts


def test_memory_is_that_of_a_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(LOG)
    split = SplitConfig(time="ts", validation=0.1, test=0.2)
    whole = with_moments(split, KIND, [path])
    monkeypatch.setattr(moments, "_BINS", 4)
    assert with_moments(split, KIND, [path]) == whole


def test_the_moments_found_are_said_and_kept() -> None:
    write(LOG[:1500], "logs/a.parquet")
    write(LOG[1500:], "logs/b.parquet")
    write_config(None, {BY_KEY: 'time = "ts"\nvalidation = 0.1\ntest = 0.2'})
    code, out, err = run("prepare", "shop.toml")
    assert code == 0, err
    assert "split by ts, in UTC: validation from 2026-01-05 21:36:00, test from 2026-01-06 14:24:00" in out
    code, out, _ = run("prepare", "shop.toml", "--json")
    found = json.loads(out)
    assert found["moments"] == {"validation": "2026-01-05T21:36:00", "test": "2026-01-06T14:24:00"}
    manifest = json.loads((Path(found["folder"]) / "manifest.json").read_text())
    assert manifest["moments"] == found["moments"]
    assert manifest["split"]["validation"] == 0.1
    prepared = Prepared(Path(found["folder"]), manifest)
    assert prepared.split_config.moments == (datetime(2026, 1, 5, 21, 36), datetime(2026, 1, 6, 14, 24))
    assert prepared.split["test"] == "2026-01-06T14:24:00"
    rows = held_out(config("validation = 0.1\ntest = 0.2"), prepared, [], 10_000)
    assert len(rows) == 600


@pytest.mark.parametrize(
    "split", [lambda n: "validation = 0.2\ntest = 0.2", lambda n: f"validation = {at(n - 2)}\ntest = {at(n - 1)}"]
)
def test_a_log_that_grows_is_grown_whichever_moments_its_split_has(split: Callable[[int], str]) -> None:
    found = []
    for number in (5, 6):
        for day in range(1, number + 1):
            write(LOG.filter(pl.col("ts").dt.day() == day), f"logs/dt=2026-01-0{day}/a.parquet")
        found.append(prepare(config(split(number), "data.grow=true")))
        assert prepare(config(split(number), "data.grow=true")).folder == found[-1].folder
    first, second = found
    assert second.manifest["grown_from"] == first.fingerprint
    assert first.split_config.moments[0] < second.split_config.moments[0]
    kept = {path.name: path.stat().st_ino for path in (first.folder / "train").iterdir()}
    linked = {path.name for path in (second.folder / "train").iterdir() if kept.get(path.name) == path.stat().st_ino}
    assert linked
    log = LOG.filter(pl.col("ts").dt.day() <= 6)
    assert second.rows == expected(*second.split_config.moments, log)


def at(day: int) -> str:
    return datetime(2026, 1, day, 17, 30, tzinfo=timezone(timedelta(hours=2))).isoformat()
