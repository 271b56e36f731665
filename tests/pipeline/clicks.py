"""A click log with every kind of feature: its rows, its config, and a run of it as it is served."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config.run import RunConfig
from pipeline.config.split import split_by_key
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.scorer import Scorer

CLICKS_TOML = """
name = "clicks"
runs = "runs"
[data]
train = "log/*/*.parquet"
prepared = "prepared"
[split]
key = "click"
validation = 0.2
test = 0.2
[spec]
excluded = ["click"]
[spec.features]
user = { kind = "categorical", buckets = 50 }
item = { kind = "categorical", table = "items", min_count = 2 }
seen = { kind = "multi_hot", table = "items", min_count = 2, max_length = 3 }
tags = { kind = "multi_hot", weights = "strength", pooling = "sum" }
pair = { kind = "cross", columns = ["user", "country"], buckets = 100 }
hour = { kind = "time", column = "at", part = "hour" }
age = { kind = "numeric", column = "joined", until = "at", log1p = true }
price = { kind = "numeric", clip = [0.0, 100.0], buckets = 8 }
[spec.tasks]
purchase = { positive = "bought = 1", where = "viewed" }
wish = { positive = "wished = 1" }
[train]
epochs = 1
batch_size = 128
lr = 1e-2
[compare]
workers = 1
"""


def click_log(rows: int, seed: int) -> pl.DataFrame:
    """The rows of a day: the first of January 2026 and as many days later as the seed says."""
    generator = np.random.default_rng(seed)
    start = datetime(2026, 1, 1 + seed)
    length = generator.integers(0, 5, rows)
    return pl.DataFrame(
        {
            "click": np.arange(rows) + 10_000 * seed,
            "user": [f"user {i}" for i in generator.integers(0, 200, rows)],
            "item": generator.zipf(1.4, rows) % 300,
            "seen": [generator.integers(0, 300, n).tolist() for n in length],
            "tags": [["red", "new", None, "big"][: n or None] if n else None for n in length],
            "strength": [[1.0, 0.5, 2.0, None][: n or None] if n else None for n in length],
            "country": [["NL", "ES", None][i] for i in generator.integers(0, 3, rows)],
            "at": [start + timedelta(seconds=int(s)) for s in generator.integers(0, 86_400, rows)],
            "joined": [start - timedelta(days=int(d)) for d in generator.integers(0, 400, rows)],
            "price": generator.lognormal(3, 1, rows),
            "viewed": generator.random(rows) < 0.8,
            "bought": generator.integers(0, 2, rows),
            "wished": generator.integers(0, 2, rows),
        }
    ).with_columns(pl.col("price").replace(pl.col("price").first(), None))


def served_with_test_rows(config: RunConfig, prepared: Prepared, run: Run) -> tuple[Scorer, pl.DataFrame]:
    """A run's served model, and the raw rows of its test split."""
    weights, encoder = run.folder / "weights.safetensors", prepared.folder / "encoder"
    packed = NetworkContent.packed(weights=weights, tasks=run.tasks, architecture=run.architecture)
    Scorer.write(Path("scorer"), encoder=encoder, packed=packed)
    raw = pl.read_parquet("log/*/*.parquet")
    sides = split_by_key(config.split, {"train": 0.6, "val": 0.2, "test": 0.2})
    return Scorer.load(Path("scorer")), raw.filter(sides == "test")
