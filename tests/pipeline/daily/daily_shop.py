"""A shop whose log grows by a day, for tests of the scheduled job."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.pipeline.shop import clicks

TOML = """
name = "shop"
[data]
train = "log"
[split]
time = "at"
validation = 2026-01-02
test = 2026-01-03
[contract]
unique = ["click"]
[spec]
group = "user"
[spec.features]
item = { kind = "categorical" }
price = { kind = "numeric", buckets = 0 }
[spec.tasks]
buy = { positive = "bought = 1" }
wish = { positive = "wished = 1" }
[model]
bottom = [16]
dropout = 0.0
[train]
epochs = 1
batch_size = 64
lr = 1e-2
checkpoint_every = 8
[gate]
margin = 0.05
calibration = [0.5, 2.0]
resamples = 200
"""


def open_shop(days: int) -> None:
    """The config's file, and the first days of the log."""
    Path("shop.toml").write_text(TOML)
    for number in range(1, days + 1):
        write_day(number)


def write_day(number: int, *, wrong: bool = False) -> Path:
    """A day of clicks; with wrong labels, those that the columns tell the opposite of."""
    start = datetime(2026, 1, number)
    rows = clicks(1500, seed=number, wrong=wrong).with_columns(
        pl.col("click") + 10_000 * number,
        at=pl.Series([start + timedelta(seconds=50 * k) for k in range(1500)]),
    )
    folder = Path(f"log/dt={start.date()}")
    folder.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(folder / "part-0.parquet")
    return folder / "part-0.parquet"


def daily(number: int, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["daily", "shop.toml", "--date", f"2026-01-{number:02}", *options])
    return result.exit_code, result.stdout, result.stderr


def record(number: int) -> DayRecord:
    found = History(load_config(Path("shop.toml"))).of(date(2026, 1, number))
    assert found is not None
    return found


def started(number: int) -> subprocess.Popen[bytes]:
    """The job as a process."""
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "daily", "shop.toml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, "--date", f"2026-01-{number:02}"], env=environment)
