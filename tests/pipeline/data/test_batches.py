"""Every row once an epoch, in an order that the seed decides, in bounded windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from features.spec import FeatureSpec
from pipeline.data.batches import Batches
from pipeline.data.windows import Batch

ROWS = 1003
SPEC = FeatureSpec.model_validate(
    {
        "features": {"a": {"kind": "categorical"}, "n": {"kind": "numeric", "buckets": 4}},
        "tasks": {"x": {"positive": "p = 1"}, "y": {"positive": "q = 1"}},
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows whose every column tells their number, over two files."""
    number = pl.int_range(ROWS, eager=True)
    frame = pl.DataFrame(
        {
            "id.a": number.cast(pl.Int32),
            "id.n": (number % 7).cast(pl.Int32),
            "value.n": number.cast(pl.Float32),
            "label.x": (number % 2).cast(pl.Int8),
            "label.y": pl.Series([None if i % 3 == 0 else 1 for i in range(ROWS)], dtype=pl.Int8),
        }
    )
    frame[:600].write_parquet(tmp_path / "part-0.parquet")
    frame[600:].write_parquet(tmp_path / "part-1.parquet")
    return tmp_path


def batches(folder: Path, *, window: int = 1 << 18, seed: int = 0) -> Batches:
    return Batches(folder, SPEC, ["y", "x"], batch_size=100, seed=seed, window=window)


def numbers(found: list[Batch]) -> list[int]:
    return [int(v) for batch in found for v in batch.value_BV[:, 0]]


@pytest.mark.parametrize("window", [1 << 18, 300, 100, 7])
def test_an_epoch_visits_every_row_once(folder: Path, window: int) -> None:
    source = batches(folder, window=window)
    found = list(source.epoch(0))
    assert sorted(numbers(found)) == list(range(ROWS))
    assert len(found) == len(source)
    assert numbers(list(source.in_order())) == list(range(ROWS))


def test_columns_of_a_row_stay_together(folder: Path) -> None:
    for batch in batches(folder).epoch(1):
        ids_FB = batch.bags.ids_N.view(2, -1)
        number = batch.value_BV[:, 0].long()
        assert torch.equal(ids_FB[0].long(), number)
        assert torch.equal(ids_FB[1].long(), number % 7)
        assert torch.equal(batch.labels_BT[:, 1].long(), number % 2)
        assert torch.equal(batch.labels_BT[:, 0].isnan(), number % 3 == 0)
        assert batch.bags.lengths_FB.tolist() == [1] * (2 * len(number))


def test_seed_and_epoch_decide_the_order(folder: Path) -> None:
    orders = {
        (seed, epoch): tuple(numbers(list(batches(folder, seed=seed, window=400).epoch(epoch))))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert orders[0, 1] == tuple(numbers(list(batches(folder, window=400).epoch(1))))


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 7, 10, 11, 12, 99])
@pytest.mark.parametrize("window", [1 << 18, 300, 100])
def test_an_epoch_goes_on_after_the_batches_it_skips(folder: Path, window: int, skip: int) -> None:
    source = batches(folder, window=window)
    assert numbers(list(source.epoch(2, skip))) == numbers(list(source.epoch(2))[skip:])


def test_the_order_is_numpys_permutations_of_windows_and_of_rows(folder: Path) -> None:
    """Runs of today are repeated tomorrow only if this order stays."""
    generator = np.random.default_rng([5, 2])
    starts = generator.permutation([0, 400, 800])
    expected = [int(s + i) for s in starts for i in generator.permutation(min(400, ROWS - s))]
    assert numbers(list(batches(folder, seed=5, window=400).epoch(2))) == expected


def test_only_a_split_of_one_window_is_kept(folder: Path) -> None:
    """Three windows are in memory at most, so that a split of several is read again."""
    for window, kept in ((ROWS, True), (250, False)):
        source = batches(folder, window=window)
        first = [numbers(list(source.epoch(0))), numbers(list(source.in_order()))]
        for path in folder.glob("*.parquet"):
            path.rename(path.with_suffix(".moved"))
        if kept:
            assert first == [numbers(list(source.epoch(0))), numbers(list(source.in_order()))]
        else:
            with pytest.raises(FileNotFoundError):
                list(source.epoch(0))
        for path in folder.glob("*.moved"):
            path.rename(path.with_suffix(".parquet"))
