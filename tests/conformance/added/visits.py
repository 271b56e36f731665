"""Visits to a shop, made up: long ones more often end in a purchase, and the age of the visitor says a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.files.atomic import atomic
from pipeline.sources.source import GeneratedSource


@dataclass(frozen=True, kw_only=True)
class VisitOptions:
    """The options of the visits; equal options, equal visits.

    Args:
        rows: Visits.
        seed: Seed of the visitors and of their purchases.
        haste: Share of visitors who buy nothing, however
            long they stay.
    """

    rows: int = 10_000
    seed: int = 0
    haste: float = 0.25


def generate_visits(options: VisitOptions, out: Path, made: Callable[[int], None]) -> dict[str, Any]:
    """Write ``visits.parquet``, or find it there.

    Args:
        options: The options.
        out: Its folder.
        made: Called with the number of visits once they are there.
    """
    if not (out / "visits.parquet").exists():
        generator = np.random.default_rng(options.seed)
        minutes, age = generator.exponential(5, options.rows), generator.integers(18, 80, options.rows)
        chance = (1 - options.haste) / (1 + np.exp(3 - minutes / 3 - (age > 50)))
        visits = {"visit": np.arange(options.rows), "minutes": minutes, "age": age}
        labels = {"bought": (generator.random(options.rows) < chance).astype(np.int8)}
        with atomic(out / "visits.parquet") as draft:
            pl.DataFrame(visits | labels).write_parquet(draft)
    made(options.rows)
    bought = pl.read_parquet(out / "visits.parquet").get_column("bought")
    return {"rows": len(bought), "days": 1, "positive_rates": {"purchase": bought.mean()}}


SOURCE = GeneratedSource(VisitOptions, generate_visits)
