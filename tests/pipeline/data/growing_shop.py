"""A shop whose log grows by a day, to be prepared day by day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config.run import RunConfig
from pipeline.training.resolve import load_config

CONFIG = """
name = "shop"
[data]
train = "log"
grow = true
[split]
time = "at"
validation = 2026-01-03
test = 2026-01-04
[spec.features]
item = { kind = "categorical" }
price = { kind = "numeric", buckets = 4 }
[spec.tasks]
buy = { positive = "buy = 1" }
[model]
bottom = [4]
"""


def write_day(number: int) -> None:
    """A day whose items are its own and those of the day before."""
    draw = np.random.default_rng(number)
    day = datetime(2026, 1, number)
    frame = pl.DataFrame(
        {
            "at": [day + timedelta(minutes=k) for k in range(60)],
            "item": [f"item-{i}" for i in draw.integers(10 * number, 10 * number + 20, 60)],
            "price": draw.random(60) * number,
            "buy": draw.integers(0, 2, 60),
        }
    )
    folder = Path(f"log/dt={day.date()}")
    folder.mkdir(parents=True)
    frame.write_parquet(folder / "part-0.parquet")


def config(validation: int, *overrides: str) -> RunConfig:
    days = [f"split.validation={date(2026, 1, validation)}", f"split.test={date(2026, 1, validation + 1)}"]
    return load_config(Path("shop.toml"), [*days, *overrides])
