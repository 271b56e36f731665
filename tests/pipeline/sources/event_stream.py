"""Events of users and items, with the labels of their clicks worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pipeline.sources.attribution import Events, label

START, DAY = datetime(2026, 1, 1), timedelta(days=1)
WINDOW = timedelta(hours=24)
Row = tuple[str | None, int | None, float, str]

# user, item, hours after the start, event; for clicks what their labels are, `?` for unknown: purchase, cart, wish.
STREAM: list[tuple[Any, ...]] = [
    # one click, each event once, one of them twice
    ("ann", 1, 1, "view", "111"), ("ann", 1, 2, "cart"), ("ann", 1, 3, "buy"), ("ann", 1, 4, "fav"),
    ("ann", 1, 5, "buy"),
    # of two clicks the later one gets it; the earlier one got its own before
    ("ann", 2, 1, "view", "010"), ("ann", 2, 2, "cart"), ("ann", 2, 3, "click", "100"), ("ann", 2, 4, "buy"),
    # an event before the click, one of another item, one of another user
    ("bob", 1, 1, "buy"), ("bob", 1, 2, "view", "000"), ("bob", 3, 3, "buy"), ("cyd", 1, 4, "fav"),
    # the same instant counts; exactly the window counts; a second more does not
    ("bob", 4, 5, "view", "100"), ("bob", 4, 5, "buy"),
    ("bob", 5, 6, "pv", "010"), ("bob", 5, 30, "cart"),
    ("bob", 6, 6, "pv", "000"), ("bob", 6, 30 + 1 / 3600, "cart"),
    # an event at the instant of the second click is the second's, though the first is within the window
    ("dan", 1, 2, "view", "000"), ("dan", 1, 8, "buy"), ("dan", 1, 8, "view", "100"),
    # clicks that nothing tells apart share it
    ("dan", 2, 2, "view", "001"), ("dan", 2, 2, "view", "001"), ("dan", 2, 3, "wish"),
    # the log ends at hour 60: a window up to it has elapsed; of one beyond it nothing is known, whatever came
    ("eve", 1, 36, "view", "000"), ("eve", 2, 36.5, "view", "???"), ("eve", 3, 40, "view", "???"),
    ("eve", 3, 41, "cart"),
    # nobody knows what an unknown user does
    (None, 1, 1, "view", "???"), (None, 1, 2, "buy"), ("fay", None, 3, "view", "???"),
    ("gus", 9, 60, "favourite"),
]  # fmt: skip


def frame(rows: list[Any], kind: pl.DataType | None = None) -> pl.DataFrame:
    columns = {
        "user_id": pl.Series([r[0] for r in rows], dtype=pl.String),
        "item_id": pl.Series([r[1] for r in rows], dtype=pl.Int64),
        "ts": pl.Series([START + timedelta(hours=r[2]) for r in rows], dtype=pl.Datetime("us")),
        "event": pl.Series([r[3] for r in rows], dtype=pl.String),
        "page": pl.Series(range(len(rows)), dtype=pl.Int64),
    }
    table = pl.DataFrame(columns)
    return table if kind is None else table.with_columns(pl.col("ts").dt.replace_time_zone("UTC").cast(kind))


def labelled(table: pl.DataFrame, window: timedelta = WINDOW) -> pl.DataFrame:
    kind = table.schema["ts"]
    assert isinstance(kind, pl.Datetime)
    return label(table.lazy(), Events(), window, kind, end_of(table)).collect()


def end_of(table: pl.DataFrame) -> int:
    return int(table.get_column("ts").to_physical().max())  # type: ignore[arg-type]
