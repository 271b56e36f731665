"""A day against the days before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.data.drift import Drift, comparable, summary
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.training.resolve import load_config

CONFIG = """
name = "shop"
[data]
train = "log"
[split]
time = "at"
validation = 2026-01-02
test = 2026-01-03
[spec.features]
item = { kind = "categorical" }
seen = { kind = "multi_hot" }
hour = { kind = "time", column = "at", part = "hour" }
price = { kind = "numeric", buckets = 0 }
[spec.tasks]
buy = { positive = "buy = 1" }
"""
ROWS = 4000


def day(number: int, *, moved: bool = False) -> pl.DataFrame:
    """Rows of a day; moved, with other items, higher prices, and more purchases."""
    draw = np.random.default_rng(number)
    items = draw.integers(0, 40, ROWS) + 20 * moved
    midnight = datetime(2026, 1, number)
    return pl.DataFrame(
        {
            "at": [midnight + timedelta(seconds=20 * k) for k in range(ROWS)],
            "item": [None if moved and k % 10 == 0 else f"item {i}" for k, i in enumerate(items)],
            "seen": [[f"tag {i % 7}", f"tag {i % 5}"] for i in draw.integers(0, 100, ROWS)],
            "price": draw.normal(10, 2, ROWS) + 3 * moved,
            "buy": (draw.random(ROWS) < (0.2 if moved else 0.1)).astype(int),
        }
    )


def prepared(*, moved: bool) -> Prepared:
    Path("shop.toml").write_text(CONFIG)
    Path("log").mkdir()
    for number in (1, 2, 3):
        day(number, moved=moved and number == 3).write_parquet(f"log/{number}.parquet")
    return prepare(load_config(Path("shop.toml")))


def by_name(data: Prepared) -> dict[str, Drift]:
    return {one.feature: one for one in summary(data).drifts}


def test_a_day_like_the_others_drifts_nowhere() -> None:
    data = prepared(moved=False)
    found = by_name(data)
    assert found["item"].psi == pytest.approx(0, abs=0.02)
    assert found["seen"].psi == pytest.approx(0, abs=0.02)
    assert found["price"].psi is None
    assert found["price"].shift == pytest.approx(0, abs=0.05)
    assert found["item"].null == found["item"].unknown == 0


def test_what_has_changed_is_measured() -> None:
    data = prepared(moved=True)
    found, raw = by_name(data), {n: day(n, moved=n == 3) for n in (1, 3)}
    known = set(raw[1].get_column("item"))
    of_day = raw[3].get_column("item")
    assert found["item"].null == pytest.approx(0.1)
    assert found["item"].unknown == pytest.approx(np.mean([i is not None and i not in known for i in of_day]))
    before, after = (raw[n].get_column("price").to_numpy() for n in (1, 3))
    shift = (after.mean() - before.mean()) / before.std()
    assert found["price"].shift == pytest.approx(shift, rel=1e-3)
    psi = naive_psi(raw[1].get_column("item"), of_day)
    assert psi > 1
    assert found["item"].psi == pytest.approx(psi, rel=1e-6)
    shares = [float(raw[n].get_column("buy").to_numpy().mean()) for n in (3, 1)]
    assert [one.share for one in summary(data).positives["buy"]] == pytest.approx(shares)


def naive_psi(training: pl.Series, of_day: pl.Series) -> float:
    """The index as its docstring has it, one id at a time."""
    counts = dict(training.value_counts().sort("count", descending=True).iter_rows())
    first_seen = {value: place for place, value in enumerate(training.unique(maintain_order=True))}
    order = sorted(counts, key=lambda value: (-counts[value], first_seen[value]))
    groups: dict[str | None, int] = {None: -1}
    passed = 0
    for value in order:
        groups[value] = 10 * passed // sum(counts.values())
        passed += counts[value]
    total = 0.0
    for group in {*groups.values(), -2}:
        q = max(sum(c for v, c in counts.items() if groups[v] == group) / len(training), 0.5e-4)
        p = max(sum(groups.get(v, -2) == group for v in of_day) / len(of_day), 0.5e-4)
        total += (p - q) * float(np.log(p / q))
    return total


def test_hours_are_not_held_against_a_day() -> None:
    data = prepared(moved=False)
    assert {one.feature for one in comparable(summary(data), data)} == {"item", "seen", "price"}
