"""A log of clicks by day, sound until a test spoils it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.config.run import RunConfig
from pipeline.training.resolve import load_config

TOML = """
name = "clicks"
[data]
train = "log/**/*.parquet"
[split]
key = "user"
validation = 0.2
test = 0.2
[spec]
excluded = ["click"]
[spec.features]
user = { kind = "categorical", buckets = 50 }
item = { kind = "categorical", required = true }
price = { kind = "numeric", range = [0.0, 100.0], clip = [1.0, 50.0] }
wait = { kind = "numeric", column = "seen", until = "at", range = [0, inf] }
[spec.tasks]
purchase = { positive = "bought = 1" }
wish = { positive = "wished > 0", where = "shown = 1" }
cart = { positive = "carted = 1", where = "shown = 1" }
[contract]
unique = ["click"]
"""


def clicks(day: int, **columns: Any) -> pl.DataFrame:
    """A hundred clicks of a day; given columns are given for its first rows, the others stay as they were."""
    generator, rows = np.random.default_rng(day), 100
    start = np.datetime64(f"2026-01-0{day}T12:00", "us")
    frame = pl.DataFrame(
        {
            "click": np.arange(rows) + 1000 * day,
            "user": generator.integers(0, 40, rows),
            "item": [f"item {i}" for i in generator.integers(0, 9, rows)],
            "price": generator.uniform(0, 100, rows),
            "seen": start - generator.integers(0, 9999, rows).astype("timedelta64[s]"),
            "at": np.full(rows, start),
            "bought": generator.integers(0, 2, rows),
            "wished": generator.integers(0, 5, rows),
            "carted": generator.integers(0, 2, rows),
            "shown": np.ones(rows, np.int64),
        }
    )
    for name, values in columns.items():
        first = pl.Series(name, values, dtype=frame.schema[name])
        frame = frame.with_columns(pl.concat([first, frame.get_column(name)[len(first) :]]))
    return frame


def write(frame: pl.DataFrame, day: int, name: str = "part") -> Path:
    path = Path("log") / f"dt=2026-01-0{day}" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Four sound days; tests run in this folder."""
    for day in range(1, 5):
        write(clicks(day), day)
    (tmp_path / "clicks.toml").write_text(TOML)
    return load_config(tmp_path / "clicks.toml")


def overridden(*overrides: str) -> RunConfig:
    return load_config(Path("clicks.toml"), overrides)


def damage(path: Path, column: str) -> None:
    """Overwrite a column's pages; the footer stays as it was."""
    names = pq.read_schema(path).names
    place = pq.read_metadata(path).row_group(0).column(names.index(column))
    content = bytearray(path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    content[start : start + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(content)
