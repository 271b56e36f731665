"""Rows, positives and drift by day in a report, from prepared data that are at hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.report.days import days, drift, shares
from pipeline.report.results import Result
from pipeline.training.resolve import load_config
from tests.pipeline.data.test_drift import CONFIG, ROWS, day


def shop(*, by_day: bool) -> tuple[RunConfig, Prepared]:
    """Three days, the last of which has moved: a file a day, with or without the day in its path."""
    Path("shop.toml").write_text(CONFIG)
    for number in (1, 2, 3):
        folder = Path("log") / (f"dt=2026-01-0{number}" if by_day else ".")
        folder.mkdir(parents=True, exist_ok=True)
        day(number, moved=number == 3).write_parquet(folder / f"{number}.parquet")
    config = load_config(Path("shop.toml"))
    return config, prepare(config)


def result(config: RunConfig, prepared: Prepared) -> Result:
    made = {"config": config.model_dump(mode="json")}
    file = SimpleNamespace(data=prepared.fingerprint)
    return cast("Result", SimpleNamespace(made=made, file=file, tasks=["buy"]))


def test_a_day_that_has_moved_is_seen() -> None:
    shown = result(*shop(by_day=True))
    found = days(shown)
    assert [*found] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert {one.rows for one in found.values()} == {ROWS}
    before, *_, moved = found.values()
    assert moved.positives["buy"].share == pytest.approx(2 * before.positives["buy"].share, rel=0.2)
    sizes = {one.feature: one.size for one in moved.drifts}
    assert min(sizes["item"], sizes["price"]) > 1
    assert "hour" not in sizes, "an hour of one day is never like that of many"
    assert all(one.size < 0.1 for one in before.drifts)
    figure = drift(found)
    assert figure is not None
    assert {*figure.data[0].y[:2]} == {"item", "price"}, "the largest drifts stand above"
    assert figure.data[0].z[0][-1] > figure.data[0].z[0][0]
    assert shares(found, ["buy"]) is not None


def test_without_days_in_paths_or_without_raw_files_splits_are_compared() -> None:
    config, prepared = shop(by_day=False)
    found = days(result(config, prepared))
    assert [*found] == ["validation", "test"]
    assert max(one.size for one in found["test"].drifts) > 1 > max(one.size for one in found["validation"].drifts)
    assert shares(found, ["buy"]) is None
    shutil.rmtree("log")
    assert [*days(result(config, prepared))] == ["validation", "test"]


def test_without_prepared_data_nothing_is_shown() -> None:
    config, prepared = shop(by_day=True)
    shutil.rmtree(prepared.folder)
    assert days(result(config, prepared)) == {}
    assert drift({}) is None
