"""The contract of raw data in `gradops prepare`: all problems of a folder in one error."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.validation import raw_data
from tests.conftest import ROOT
from tests.pipeline.validation.conftest import TOML, clicks, damage, overridden, write


def problems(config: RunConfig) -> list[str]:
    """What is wrong with the raw rows; an error that says how many problems there are lists as many."""
    try:
        raw_data.examine_raw_data(config, raw_data.find_raw_files(config)).check()
    except InputError as error:
        subject, *lines = str(error).split("\n")
        assert subject == f"raw data does not fit the config: {len(lines)} problem(s)"
        return [line.removeprefix("  - ") for line in lines]
    return []


def test_sound_rows_are_prepared(config: RunConfig) -> None:
    assert problems(config) == []
    splits = prepare(config).manifest["splits"]
    assert sum(split["rows"] for split in splits.values()) == 400


def test_everything_wrong_with_a_folder_is_one_error_of_the_command(config: RunConfig) -> None:
    write(clicks(1).drop("item"), 1)
    write(clicks(2).with_columns(pl.col("price").cast(pl.String)), 2)
    write(clicks(3, bought=[2, 2, 7]), 3)
    whole = write(clicks(4), 4)
    write(clicks(4).with_columns(pl.col("click") + 500), 4, "sound")
    whole.write_bytes(whole.read_bytes()[:2000])
    write(clicks(5).clear(), 5)
    damage(write(clicks(6), 6), "bought")
    write(clicks(9, click=[3000, 3001]), 9)
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "prepare", "clicks.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    expected = [
        "dt=2026-01-01/part.parquet differs: `item` is no column, not String as in 6 of 7 files",
        "dt=2026-01-02/part.parquet differs: `price` is String, not Float64 as in 6 of 7 files",
        "dt=2026-01-04/part.parquet is not a readable Parquet file",
        "dt=2026-01-05/part.parquet has no rows",
        "data.train has no file of 2 day(s) between 2026-01-01 and 2026-01-09: 2026-01-07, 2026-01-08",
        "dt=2026-01-06/part.parquet is not a readable Parquet file",
        "label `bought` (task `purchase`) holds 2 and 7 in 3 rows of 1 file (first in log/dt=2026-01-03/part.parquet)",
        "data.train repeats 2 row(s), as click 3000 in log/dt=2026-01-03/part.parquet and log/dt=2026-01-09/part.parq",
    ]
    error = done.stderr[done.stderr.index("error: ") :]
    assert f"raw data does not fit the config: {len(expected)} problem(s)" in error
    assert [part for part in expected if part not in error] == []
    assert "Traceback" not in error
    assert list(Path("prepared").iterdir()) == [Path("prepared/.lock")]


def test_a_broken_first_file_is_the_one_that_differs(config: RunConfig) -> None:
    """Even if most files are broken: the config says what a column is to be."""
    for day in (1, 2, 3):
        write(clicks(day).with_columns(pl.col("price").cast(pl.String)), day)
    found = problems(config)
    assert len(found) == 3
    for day, problem in enumerate(found, 1):
        assert f"dt=2026-01-0{day}/part.parquet differs: `price` is String, not Float64 as in 1 of 4 files" in problem


def test_a_column_that_only_one_file_has_is_no_problem_unless_it_is_needed(config: RunConfig) -> None:
    write(clicks(1).with_columns(extra=1), 1)
    assert problems(config) == []
    (*_, problem) = problems(overridden("spec.features.extra={kind='categorical'}"))
    assert "dt=2026-01-04/part.parquet differs: `extra` is no column, not Int32 as in 1 of 4 files" in problem
    assert "(first in log/dt=2026-01-01/part.parquet)" in problem


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"bought": [1, 0, None]}, None),
        ({"bought": [-1]}, "label `bought` (task `purchase`) holds -1 in 1 row of 1 file"),
        ({"carted": [3], "shown": [1]}, "label `carted` (task `cart`) holds 3 in 1 row of 1 file"),
        ({"carted": [3, 3], "shown": [0, None]}, None),  # the task is not defined there, so the label is not read
        ({"wished": [-9, 9]}, None),  # another expression says itself what values mean
        ({"price": [0.0, 100.0, None, float("nan"), float("inf")]}, None),
        ({"price": [0.5, 100.5, -0.5]}, "feature `price` holds -0.5 and 100.5 in 2 rows of 1 file"),
        ({"seen": [datetime(2026, 1, 1, 18)]}, "feature `wait` holds -6 in 1 row of 1 file"),
        ({"item": [None, "item 1", None]}, "column `item` (feature `item`) is null in 2 rows of 1 file"),
    ],
)
def test_a_rule_about_values(config: RunConfig, columns: dict[str, list[Any]], problem: str | None) -> None:
    write(clicks(1, **columns), 1)
    found = problems(config)
    assert [p.partition(" (first in log/dt=2026-01-01/part.parquet); ")[0] for p in found] == [problem] * bool(problem)


@pytest.mark.parametrize("text", ["bought = 1", "1 = bought", "(bought = 1)", "bought = 1.0"])
def test_a_float_label_holds_0_1_or_nothing(config: RunConfig, text: str) -> None:
    for day in range(1, 5):
        label = pl.Series([0.0, 1.0, None, float("nan"), 0.5][: 4 + (day == 3)] * 20)[:80]
        write(clicks(day)[:80].with_columns(bought=label), day)
    (problem,) = problems(overridden(f"spec.tasks.purchase.positive={text}"))
    assert "label `bought` (task `purchase`) holds 0.5 in 16 rows of 1 file" in problem
    assert f"a label read by `{text}` is 0, 1 or null" in problem
    assert problems(overridden("spec.tasks.purchase.positive=bought > 0")) == []


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["split.key=usr"], "column `usr` (`[split] key`) is missing"),
        (["split.time=item"], "column `item` (`[split] time`) holds String; a split by time needs a date or datetime"),
        (["split.time=click"], "column `click` (`[split] time`) holds Int64; a split by time needs a date or datetime"),
    ],
)
def test_what_rows_are_split_by(config: RunConfig, overrides: list[str], problem: str) -> None:
    if "time" in overrides[0]:
        by_key = 'key = "user"\nvalidation = 0.2\ntest = 0.2'
        days = "validation = 2026-01-03\ntest = 2026-01-04"
        Path("clicks.toml").write_text(TOML.replace(by_key, days))
    (found, *_) = problems(overridden(*overrides))
    assert problem in found


def test_a_sample_weight_is_a_number_from_0_up(config: RunConfig) -> None:
    weight = pl.Series([1.5, 0.0, -1.0, float("nan"), float("inf"), None, 1e300] + [2.0] * 93)
    for day in range(1, 5):
        write(clicks(day).with_columns(weight=weight if day == 2 else pl.lit(1.0)), day)
    (problem,) = problems(overridden("spec.tasks.wish.sample_weight=weight"))
    assert problem.startswith("column `weight` (sample weight of task `wish`) holds -1 and inf in 5 rows of 1 file")


def test_counts_are_of_all_files(config: RunConfig) -> None:
    for day in (2, 3):
        write(clicks(day, bought=[day] * day), day)
    (problem,) = problems(config)
    assert "holds 2 in 5 rows of 2 files (first in log/dt=2026-01-02/part.parquet)" in problem


def test_a_required_float_is_a_number(config: RunConfig) -> None:
    write(clicks(1, price=[float("nan"), None, float("inf"), 3.0]), 1)
    (problem,) = problems(overridden("spec.features.price.required=true"))
    assert "column `price` (feature `price`) is null in 3 rows" in problem


def test_days_without_rows_can_be_allowed(config: RunConfig) -> None:
    write(clicks(2).clear(), 2)
    (Path("log") / "dt=2026-01-03" / "part.parquet").unlink()
    assert [p.split(";")[0] for p in problems(config)] == [
        "log/dt=2026-01-02/part.parquet has no rows",
        "data.train has no file of 1 day(s) between 2026-01-01 and 2026-01-04: 2026-01-03",
    ]
    assert problems(overridden("contract.empty_days=true")) == []


def test_a_folder_among_the_files_is_named(config: RunConfig) -> None:
    (Path("log") / "dt=2026-01-02" / "old.parquet").mkdir()
    write(clicks(1, bought=[2]), 1)
    with pytest.raises(InputError, match=r"(?s)2 problem\(s\).*old.parquet is not a readable.*holds 2 in 1 row"):
        prepare(config)


@pytest.mark.parametrize(("column", "unread"), [("bought", False), ("user", True)])
def test_only_columns_with_a_rule_are_read(config: RunConfig, column: str, unread: bool) -> None:
    damage(Path("log/dt=2026-01-02/part.parquet"), column)
    assert (problems(config) == []) == unread


def test_damaged_pages_that_no_rule_reads_are_named_too(config: RunConfig) -> None:
    damage(Path("log/dt=2026-01-02/part.parquet"), "user")
    with pytest.raises(InputError, match=r"dt=2026-01-02/part\.parquet is not a readable Parquet file"):
        prepare(overridden("contract.leak_auc=0"))
    assert list(Path("prepared").glob("[!.]*")) == []


def test_prepared_data_that_is_there_is_not_checked_again(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(config)

    def unwanted(*_: object) -> None:
        raise AssertionError("rows are read for nothing")

    monkeypatch.setattr(raw_data, "examine_raw_data", unwanted)
    assert prepare(config).folder == prepared.folder
