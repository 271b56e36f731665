"""Ranks share every batch evenly: all rows once, equally many batches, each rank seekable."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec import FeatureSpec
from pipeline.data.batches import Batches
from pipeline.data.windows import Batch

SPEC = FeatureSpec.model_validate(
    {
        "features": {"a": {"kind": "categorical"}, "l": {"kind": "multi_hot"}, "n": {"kind": "numeric", "buckets": 0}},
        "tasks": {"x": {"positive": "p = 1"}},
    }
)


@dataclass(frozen=True)
class Case:
    """Files of uneven lengths, and how they are read."""

    files: tuple[int, ...]
    batch_size: int
    window: int
    ranks: int
    shuffle_shards: int
    seed: int


CASES = st.builds(
    Case,
    files=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
    batch_size=st.integers(1, 30),
    window=st.integers(8, 70),
    ranks=st.integers(1, 5),
    shuffle_shards=st.integers(1, 5),
    seed=st.integers(0, 3),
)


def write(case: Case, folder: Path) -> None:
    """Rows whose every column tells their number; row r has r % 3 + 1 entries, all r."""
    rows = pl.DataFrame({"row": pl.int_range(sum(case.files), eager=True)}).select(
        pl.col("row").cast(pl.Int32).alias("id.a"),
        pl.col("row").cast(pl.Int32).repeat_by(pl.col("row") % 3 + 1).alias("id.l"),
        pl.lit(1.0, pl.Float32).repeat_by(pl.col("row") % 3 + 1).alias("weight.l"),
        pl.col("row").cast(pl.Float32).alias("value.n"),
        (pl.col("row") % 2).cast(pl.Int8).alias("label.x"),
    )
    start = 0
    for number, length in enumerate(case.files):
        rows[start : start + length].write_parquet(folder / f"part-{number}.parquet", row_group_size=7)
        start += length


def source(case: Case, folder: Path, rank: int, ranks: int) -> Batches:
    options = {
        "batch_size": case.batch_size,
        "seed": case.seed,
        "window": case.window,
        "shuffle_shards": case.shuffle_shards,
    }
    return Batches(folder, SPEC, ["x"], **options, shard=(rank, ranks))


def rows_of(batch: Batch) -> list[int]:
    """The numbers of a batch's rows, on which all its columns agree."""
    numbers = batch.value_BV[:, 0].long()
    lengths_FB = batch.bags.lengths_FB.view(2, -1)
    assert torch.equal(lengths_FB, torch.stack([torch.ones_like(numbers), numbers % 3 + 1]).int())
    assert torch.equal(batch.bags.ids_N.long(), torch.cat([numbers, numbers.repeat_interleave(numbers % 3 + 1)]))
    assert torch.equal(batch.labels_BT[:, 0].long(), numbers % 2)
    return numbers.tolist()


def read(source: Batches, in_order: bool) -> list[list[int]]:
    return list(map(rows_of, source.in_order() if in_order else source.epoch(1)))


@settings(max_examples=30)
@given(CASES, st.integers(0, 9))
def test_ranks_share_every_batch(case: Case, skip: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(case, Path(name))
        whole = source(case, Path(name), 0, 1)
        ranks = [source(case, Path(name), rank, case.ranks) for rank in range(case.ranks)]
        for in_order in (False, True):
            alone = read(whole, in_order)
            shared = [read(rank, in_order) for rank in ranks]
            assert {len(rank) for rank in ranks} == {len(found) for found in shared} == {len(alone)}
            for rows, parts in zip(alone, zip(*shared, strict=True), strict=True):
                sizes = sorted(map(len, parts))
                assert sum(sizes) == len(rows)
                assert sizes[-1] - sizes[0] <= 1
                if not in_order:
                    assert sorted(rows) == sorted(chain.from_iterable(parts))  # the same however many share it
            every = sorted(row for found in shared for part in found for row in part)
            assert every == list(range(sum(case.files)))
        for rank in ranks:
            assert list(map(rows_of, rank.epoch(2, skip))) == list(map(rows_of, rank.epoch(2)))[skip:]


def test_the_rows_that_meet_change_from_epoch_to_epoch() -> None:
    """With one order for all shards, row i of each stretch would be in one batch for ever."""
    case = Case(files=(400,), batch_size=20, window=400, ranks=2, shuffle_shards=2, seed=0)
    with tempfile.TemporaryDirectory() as name:
        write(case, Path(name))
        ranks = [source(case, Path(name), rank, 2) for rank in range(2)]
        met = 0
        for epoch in range(2):
            for mine, yours in zip(*(rank.epoch(epoch) for rank in ranks), strict=True):
                met += len({row + 200 for row in rows_of(mine)} & set(rows_of(yours)))
    assert met < 100  # of 400; 20 by chance


def test_in_order_a_rank_reads_its_stretch_in_the_order_of_the_files(tmp_path: Path) -> None:
    case = Case(files=(5, 6), batch_size=4, window=8, ranks=3, shuffle_shards=1, seed=0)
    write(case, tmp_path)
    found = [list(map(rows_of, source(case, tmp_path, rank, 3).in_order())) for rank in range(3)]
    assert found == [[[0, 1], [2, 3], [8]], [[4], [5], [9]], [[6], [7], [10]]]


def test_a_rank_with_a_lane_of_its_own_reads_no_other(tmp_path: Path) -> None:
    case = Case(files=(30,), batch_size=6, window=30, ranks=3, shuffle_shards=3, seed=0)
    write(case, tmp_path)
    found = [sorted(chain.from_iterable(read(source(case, tmp_path, rank, 3), in_order=False))) for rank in range(3)]
    assert found == [[*range(10)], [*range(10, 20)], [*range(20, 30)]]


@pytest.mark.parametrize("shard", [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused(tmp_path: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="`shard` should be a rank from 0"):
        Batches(tmp_path, SPEC, ["x"], batch_size=2, shard=shard)


def test_no_lanes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`shuffle_shards` should be at least 1"):
        Batches(tmp_path, SPEC, ["x"], batch_size=2, shuffle_shards=0)
