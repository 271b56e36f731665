"""A click log as the documents' configs describe it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl


def write_clicks(folder: Path, rows: int = 3000) -> pl.DataFrame:
    """Write clicks of sessions, users and items into three files of a folder, and return them."""
    generator = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": generator.integers(0, 300, rows),
            "item_id": [f"item {i}" for i in generator.zipf(1.5, rows) % 1000],
            "session_id": np.arange(rows),
            "viewed": [[f"item {i}" for i in generator.integers(0, 1000, n)] for n in generator.integers(0, 4, rows)],
            "clicked_at": np.datetime64("2026-01-01", "us")
            + generator.integers(0, 86_400, rows).astype("timedelta64[s]"),
            "country": [["NL", "ES", None][i] for i in generator.integers(0, 3, rows)],
            "price": generator.lognormal(3, 1, rows),
            "bought": generator.integers(0, 2, rows),
            "carted": pl.Series([[0, 1, None][i] for i in generator.integers(0, 3, rows)], dtype=pl.Int8),
            "wished": generator.integers(0, 2, rows).astype(bool),
        }
    )
    folder.mkdir(exist_ok=True)
    for part, clicks in enumerate(log.iter_slices(rows // 3)):
        clicks.write_parquet(folder / f"part-{part}.parquet")
    return log
