"""A small shop's log and config in the working folder: the ground of tests about the files that users have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config.run import RunConfig
from pipeline.training.resolve import load_config

TOML = """
name = "shop"
[data]
train = "logs"
[split]
key = "click_id"
validation = 0.2
test = 0.2
[spec]
excluded = ["click_id"]
[spec.features]
item_id = { kind = "categorical" }
country = { kind = "categorical" }
price = { kind = "numeric", buckets = 8 }
#features
[spec.tasks]
purchase = { positive = "bought = 1" }
cart = { positive = "carted = 1" }
[model]
bottom = [16]
[train]
epochs = 1
batch_size = 256
[compare]
methods = ["uniform", "pcgrad"]
boosting = false
workers = 1
"""
# Rows of `shop_log` of each split, by its hash.
ROWS = {"train": 1802, "val": 565, "test": 633}


def shop_log(rows: int = 3000, seed: int = 0) -> pl.DataFrame:
    """Clicks of a week, in their order, with two labels that the item decides."""
    generator = np.random.default_rng(seed)
    user, item = generator.integers(1, 200, rows), generator.integers(1, 50, rows)
    price = generator.gamma(2, 10, rows)
    share = 1 / (1 + np.exp(-((item % 5) - 2) / 2 + 0.5))
    return pl.DataFrame(
        {
            "click_id": np.arange(rows),
            "user_id": user,
            "item_id": item,
            "country": generator.choice(["NL", "DE", "FR"], rows),
            "price": price,
            "ts": [datetime(2026, 1, 1) + timedelta(minutes=int(10_080 * i / rows)) for i in range(rows)],
            "tags": [[int(x) for x in generator.integers(0, 9, k)] for k in generator.integers(0, 4, rows)],
            "bought": (generator.random(rows) < share * 0.5).astype(np.int64),
            "carted": (generator.random(rows) < share).astype(np.int64),
        }
    )


def write(frame: pl.DataFrame, path: str = "logs/part-0.parquet") -> Path:
    """Write a file of the log, and the folders above it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(target)
    return target


def write_config(features: Mapping[str, str] | None = None, changes: Mapping[str, str] | None = None) -> Path:
    """Write ``shop.toml``.

    Args:
        features: Name of each further feature to its declaration in TOML.
        changes: Parts of :data:`TOML` to their replacements.
    """
    text = TOML.replace("#features", "\n".join(f"{name} = {kind}" for name, kind in (features or {}).items()))
    for part, replacement in (changes or {}).items():
        assert part in text, f"no {part!r} in the config"
        text = text.replace(part, replacement)
    path = Path("shop.toml")
    path.write_text(text)
    return path


def shop_config(
    features: Mapping[str, str] | None = None, changes: Mapping[str, str] | None = None, *overrides: str
) -> RunConfig:
    """The config that :func:`write_config` writes, loaded."""
    return load_config(write_config(features, changes), list(overrides))
