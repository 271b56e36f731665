"""A small shop whose models can be made good, poor or wrong; a registry holds one of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.registry.model import RegisteredModel
from pipeline.registry.register import register_run
from pipeline.runs.plan import PlannedRun, System
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import find_or_train

TOML = """
name = "shop"
runs = "{folder}/runs"
[data]
train = "{folder}/{log}/*.parquet"
prepared = "{folder}/prepared"
[split]
key = "click"
validation = 0.2
test = 0.4
[spec]
group = "user"
[spec.features]
item = {{ kind = "categorical" }}
price = {{ kind = "numeric", buckets = 0 }}
[spec.tasks]
buy = {{ positive = "bought = 1" }}
wish = {{ positive = "wished = 1" }}
[model]
bottom = [16]
dropout = 0.0
[train]
epochs = 3
batch_size = 64
lr = 1e-2
[gate]
margin = 0.01
calibration = [0.5, 2.0]
resamples = 200
"""


def clicks(rows: int = 3000, seed: int = 0, *, wrong: bool = False) -> pl.DataFrame:
    """Clicks that item and price predict well; with wrong labels they predict the opposite."""
    generator = np.random.default_rng(seed)
    item, price = generator.integers(0, 12, rows), generator.normal(size=rows)
    logits = np.stack([(item % 4 - 1.5) * 1.2 + price, (item % 3 - 1.0) * 1.2 - price])
    labels = generator.random(logits.shape) < 1 / (1 + np.exp(logits if wrong else -logits))
    return pl.DataFrame(
        {
            "click": np.arange(rows),
            "user": generator.integers(0, rows // 3, rows),
            "item": [f"item {i}" for i in item],
            "price": price,
            "bought": labels[0].astype(np.int8),
            "wished": labels[1].astype(np.int8),
        }
    )


@dataclass(frozen=True)
class Shop:
    """A registry of three versions and no alias: 1 is poor, 2 is good, 3 has learnt from wrong labels."""

    folder: Path
    config: RunConfig
    prepared: Prepared

    @property
    def toml(self) -> str:
        """The config's file."""
        return str(self.folder / "log.toml")

    def model(self, **aliases: int) -> RegisteredModel:
        """The registered model, with these aliases."""
        model = RegisteredModel("shop")
        for alias, version in aliases.items():
            model.point(alias, version)
        return model


def trained(config: RunConfig) -> int:
    """Train and register a run, and return its version."""
    prepared = prepare(config)
    with Tracker.open(config, prepared) as tracker:
        (run,) = find_or_train([PlannedRun(System(config.train.method), config)], prepared, [tracker], 1)
        return register_run(config, prepared, run, tracker)
