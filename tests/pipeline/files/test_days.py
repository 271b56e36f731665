"""The day of a path, by the usual names or a declared key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.files.days import DayKeys
from tests.pipeline.small_shop import ROWS, shop_config, shop_log, write

LAST = date(2026, 1, 31)


@pytest.mark.parametrize(
    ("folders", "day"),
    [
        ("dt=2026-01-31", LAST),
        ("date=20260131", LAST),
        ("ds=2026-01-31/hour=07", LAST),
        ("day=2026-01-31", LAST),
        ("year=2026/month=01/day=31", LAST),
        ("year=2026/month=1/day=31", LAST),
        ("day=31/month=1/year=2026", LAST),
        ("year=2026/month=2026-01/day=2026-01-31", LAST),
        ("year=2026/month=01/dt=2026-01-31", LAST),
        ("dt=2026-01-31 00%3A00%3A00", LAST),  # Spark, by a timestamp
        ("dt=2026-01-31/date=20260131", LAST),
        ("year=2026/month=01", None),
        ("dt=__HIVE_DEFAULT_PARTITION__", None),
        ("event_date=2026-01-31", None),
        ("2026-01-31", None),
    ],
)
def test_the_usual_folders_name_a_day(folders: str, day: date | None) -> None:
    path = Path("logs") / folders / "p.parquet"
    assert DayKeys().of(path) == day
    assert list(DayKeys().problems([path])) == []


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ("dt=latest", "`dt=latest` looks like a day and is none"),
        ("dt=2026-1-5", "`dt=2026-1-5` looks like a day and is none"),
        ("dt=2026-W05", "`dt=2026-W05` looks like a day and is none"),
        ("dt=2026-01-31T07%3A00", "looks like a day and is none"),
        ("day=monday", "`day=monday` looks like a day"),
        ("year=2026/month=13/day=01", "`year=2026/month=13/day=01` looks like a day"),
        ("dt=2026-01-31/ds=2026-01-30", "`dt=2026-01-31` and `ds=2026-01-30` are different days"),
        ("year=2026/month=01/day=30/dt=2026-01-31", "are different days"),
    ],
)
def test_a_folder_that_looks_like_a_day_has_a_sentence(folders: str, words: str) -> None:
    path = Path("logs") / folders / "p.parquet"
    (problem,) = DayKeys().problems([path, path.with_name("q.parquet")])
    assert words in problem
    assert problem.endswith(f"(in the path of 2 file(s), first {path})")
    assert list(DayKeys(()).problems([path])) == []
    assert DayKeys(()).of(path) is None


@pytest.mark.parametrize(
    ("keys", "folders", "day"),
    [
        (("event_date",), "event_date=2026-01-31/dt=2026-02-01", LAST),
        (("y", "m", "d"), "y=2026/m=01/d=31", LAST),
        (("y", "m", "d"), "y=2026/m=01", None),
        (("ds",), "dt=2026-01-31", None),
    ],
)
def test_a_declared_key_is_the_only_one(keys: tuple[str, ...], folders: str, day: date | None) -> None:
    assert DayKeys(keys).of(Path("logs") / folders / "p.parquet") == day


LAYOUTS: dict[str, tuple[str, dict[str, str]]] = {
    "ds, compact": ("ds={0:%Y%m%d}", {}),
    "year, month, day": ("year={0:%Y}/month={0:%m}/day={0:%d}", {}),
    "another key": ("p_day={0}", {"[data]": '[data]\nday = "p_day"'}),
    "three other keys": ("y={0:%Y}/m={0:%m}/d={0:%d}", {"[data]": '[data]\nday = ["y", "m", "d"]'}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_days_are_limited_and_missed_by_every_name(name: str) -> None:
    form, changes = LAYOUTS[name]
    for n in range(6):
        write(shop_log()[500 * n : 500 * n + 500], f"logs/{form.format(date(2026, 1, 1) + timedelta(n))}/p.parquet")
    assert prepare(shop_config(None, changes)).rows == ROWS
    some = prepare(shop_config(None, changes, "data.since=2026-01-02", "data.until=2026-01-04"))
    assert sum(some.rows.values()) == 1500
    with pytest.raises(InputError, match="the days of all 6 files at `logs`"):
        prepare(shop_config(None, changes, "data.since=2026-02-01"))
    next(iter(Path("logs").glob(form.format(date(2026, 1, 3)) + "/*"))).unlink()
    with pytest.raises(InputError, match=r"has no file of 1 day\(s\) between 2026-01-01 and 2026-01-06: 2026-01-03"):
        prepare(shop_config(None, changes))


def test_a_day_that_cannot_be_read_is_an_error_unless_nothing_names_days() -> None:
    write(shop_log(), "logs/day=monday/p.parquet")
    with pytest.raises(InputError, match="`day=monday` looks like a day"):
        prepare(shop_config())
    assert prepare(shop_config(None, {"[data]": "[data]\nday = []"})).rows == ROWS


@pytest.mark.parametrize("keys", ['["year", "month"]', '["a", "b", "c", "d"]'])
def test_a_day_is_one_key_or_three(keys: Any) -> None:
    with pytest.raises(InputError, match="a day is named by one key or by three"):
        shop_config(None, {"[data]": f"[data]\nday = {keys}"})
