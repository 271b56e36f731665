"""The prepared rows are those of a plain reading in memory, whatever habits the writer of the files has."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.encoder import Encoder
from features.fitting import fit
from pipeline.config.split import SPLITS
from pipeline.data.prepare import prepare
from pipeline.files.table import find_table
from pipeline.training.resolve import load_config
from tests.pipeline.files.writers import CONFIG, ROW, Habits, Rows, rows_in_memory

PARTS = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=4)
# Rows that give every split both classes, whatever else there is.
CLASSES: Rows = [
    {"item": "a", "user": n, "price": n, "tags": [1, 2], "at": datetime(2026, 1, 1), "bought": n % 2, "place": "NL"}
    for n in range(24)
]


def check(data: Any, parts: list[Rows]) -> None:
    """Write, prepare and read back a table, and hold it against the rows in memory."""
    for folder in ("logs", "disk", "prepared"):
        shutil.rmtree(folder, ignore_errors=True)
    every = [CLASSES, *parts]
    table = rows_in_memory(every)
    habits, start = Habits(data.draw, Path("logs")), 0
    for number, part in enumerate(every):
        habits.write(number, table[start : start + len(part)])
        start += len(part)
    declared = "partitions = { place = 'text' }" if habits.partitioned else ""
    feature = 'place = { kind = "categorical" }'
    text = CONFIG.format(train="logs", prepared="prepared", partitions=declared, feature=feature)
    Path("shop.toml").write_text(text)
    config = load_config(Path("shop.toml"))
    if not find_table("logs").files:
        return
    prepared = prepare(config)
    split = table.select(config.split.split_of(table.schema, holdout=False)).to_series()
    for name in SPLITS:
        rows = prepared.scan(name).collect()
        expected = plain(prepared.encoder(), table.filter(split == name))
        columns = sorted(expected.columns)
        assert rows.select(columns).sort(columns).equals(expected.select(columns).sort(columns)), name
    fitted = fit(config.spec, table.filter(split == "train").lazy())
    for name, values in prepared.encoder().vocabularies.items():
        assert set(values) == set(fitted.vocabularies[name]), name
    assert prepared.encoder().scales["price"].mean == pytest.approx(fitted.scales["price"].mean)
    assert prepared.encoder().scales["price"].edges == fitted.scales["price"].edges


def plain(encoder: Encoder, rows: pl.DataFrame) -> pl.DataFrame:
    return encoder.encode(rows.lazy()).collect()


@settings(max_examples=15, deadline=None)
@given(data=st.data(), parts=PARTS)
def test_prepared_rows_are_those_in_memory(data: Any, parts: list[Rows]) -> None:
    check(data, parts)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(data=st.data(), parts=PARTS)
def test_prepared_rows_are_those_in_memory_of_many_tables(data: Any, parts: list[Rows]) -> None:
    check(data, parts)
