"""The formulas of docs/scale.md, on its example; that they are what ranks do is tested with real ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.encoder import Table
from models.embedding.sharding_kinds import Sharding
from pipeline.training.exchanges import Exchange, StepShape

# Sizes as those of configs/clicklog-wide.toml with larger tables for users and items.
USERS, ITEMS = Table("user_id", 200_000_000, 16, ("user_id",)), Table("item_id", 20_000_000, 16, ("item_id",))
MIDDLE = [Table(f"m{n}", 3000, 16, (f"m{n}",)) for n in range(7)]
SMALL = [Table(f"s{n}", 52, 16, (f"s{n}",)) for n in range(38)]
TABLES = [USERS, ITEMS, *MIDDLE, *SMALL]
EXACT = StepShape(
    ranks=16,
    rows=4096,
    tasks=3,
    shared=1_508_000,
    network=1_510_000,
    tables=TABLES,
    kinds=Sharding().kinds_of(TABLES, 16),
    entries={table.name: 1.0 for table in TABLES},
    distinct={16: 25_000},
    features=47,
    weighted=True,
    apart=1.0,
)


def leaving(shape: StepShape, content: str) -> float:
    """Megabytes that leave a rank in the exchanges whose content has a word."""
    return sum(one.leaving(shape.ranks) for one in shape.exchanges() if content in one.content) / 1e6


def test_the_example_of_the_page() -> None:
    pooled = leaving(EXACT, "pooled") + leaving(EXACT, "cotangents")
    assert pooled == pytest.approx(19.2, abs=0.05)
    assert leaving(EXACT, "gradients of the network") == pytest.approx(33.9, abs=0.05)
    assert leaving(replace(EXACT, apart=0.0), "gradients of the network") == pytest.approx(11.3, abs=0.05)
    assert leaving(EXACT, "copied tables") == pytest.approx(1.9, abs=0.05)


def test_a_share_of_the_steps_costs_a_share() -> None:
    every_fourth = replace(EXACT, apart=0.25)
    whole = {one.content: one for one in EXACT.exchanges()}
    for one in every_fourth.exchanges():
        if "Gram" in one.content:
            assert one == replace(whole[one.content], often=0.25)


def test_few_ranks_have_three_exchanges() -> None:
    tables = [replace(USERS, rows=1_000_000), *TABLES[2:]]
    shape = replace(EXACT, ranks=2, tables=tables, kinds=Sharding().kinds_of(tables, 2), apart=0.0)
    assert [one.kind for one in shape.exchanges()] == ["all-gather", "all-reduce", "all-gather"]
    small, entries = sum(table.rows for table in SMALL) * 16 * 4, 8 * 4096
    assert shape.exchanges()[-1].bytes == small + entries * (12 + 64) + 8


@pytest.mark.parametrize(("kind", "factor"), [("all-gather", 3), ("all-reduce", 1.5), ("all-to-all", 0.75)])
def test_what_leaves_a_rank(kind: str, factor: float) -> None:
    assert Exchange(kind, "", 100.0).leaving(4) == factor * 100  # type: ignore[arg-type]  # one of its kinds
