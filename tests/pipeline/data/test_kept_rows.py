"""Rows without a positive label are sampled by their number, in any window and on any rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.encoder import LABEL
from pipeline.data.batches import Batches
from pipeline.data.kept_rows import KeptRows, uniform
from tests.pipeline.data.test_batches import ROWS, SPEC, folder, numbers

__all__ = ["folder"]  # a fixture
SHARE = 0.25


def labels() -> pl.DataFrame:
    draw = np.random.default_rng(3)
    values = [[(0, 0, 0, 1, None)[place] for place in draw.integers(5, size=ROWS)] for _ in "ab"]
    return pl.DataFrame({LABEL + name: column for name, column in zip("ab", values, strict=True)})


def kept(frame: pl.DataFrame, *, window: int, seed: int = 0, share: float = SHARE) -> list[int]:
    found = KeptRows(frame.lazy(), total=ROWS, tasks=("a", "b"), share=share, seed=seed, window=window)
    starts = range(0, ROWS, window)
    assert [found.count(start) for start in starts] == [len(found.numbers(start)) for start in starts]
    return [int(number) for start in starts for number in found.numbers(start)]


def test_a_row_is_kept_by_its_number_and_labels_alone() -> None:
    frame = labels()
    positive = [number for number, row in enumerate(frame.rows()) if 1 in row]
    drawn = np.flatnonzero(uniform(0, np.arange(ROWS, dtype=np.uint64)) < SHARE).tolist()
    expected = sorted({*positive, *drawn})
    assert kept(frame, window=1 << 18) == kept(frame, window=100) == kept(frame, window=7) == expected
    assert kept(frame, window=100, seed=1) != expected


def test_the_draws_are_uniform_and_those_of_two_seeds_independent() -> None:
    first, second = (uniform(seed, np.arange(200_000, dtype=np.uint64)) for seed in (0, 1))
    for draws in (first, second):
        # Six standard errors of a share of 200,000 rows.
        assert np.histogram(draws, 10, (0, 1))[0] / len(draws) == pytest.approx(0.1, abs=6 * (0.09 / 200_000) ** 0.5)
    assert abs(np.corrcoef(first, second)[0, 1]) < 6 / 200_000**0.5
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 6 / 200_000**0.5
    # From SplitMix64 in Python's own integers.
    assert uniform(0, np.arange(3, dtype=np.uint64)).tolist() == [_splitmix(0, number) for number in range(3)]
    assert uniform(7, np.array([10**9], np.uint64)).tolist() == [_splitmix(7, 10**9)]


def _splitmix(seed: int, number: int) -> float:
    step, wide = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mixed(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & wide
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & wide
        return word ^ (word >> 31)

    return (mixed((mixed(seed * step & wide) + (number + 1) * step) & wide) >> 11) / (1 << 53)


@pytest.mark.parametrize("window", [1 << 18, 100])
def test_every_kept_row_comes_once_an_epoch_and_ranks_share_the_batches(folder: Path, window: int) -> None:
    # `x` is 1 in every other row; `y` is 1, but for every third row, where it is unknown.
    def source(tasks: list[str], shard: tuple[int, int] = (0, 1), share: float = SHARE) -> Batches:
        options = {"batch_size": 10, "seed": 5, "window": window, "shuffle_shards": 2, "keep_negatives": share}
        return Batches(folder, SPEC, tasks, **options, shard=shard)  # type: ignore[arg-type]

    draw = uniform(5, np.arange(ROWS, dtype=np.uint64)) < SHARE
    expected = [n for n in range(ROWS) if n % 2 or draw[n]]
    whole = source(["x"])
    first, second = list(whole.epoch(0)), list(whole.epoch(1))
    assert sorted(numbers(first)) == sorted(numbers(second)) == expected == numbers(list(whole.in_order()))
    assert len(first) == len(whole) < len(source(["x"], share=1.0))
    assert numbers(list(whole.epoch(1, skip=4))) == numbers(second[4:])
    ranks = [list(source(["x"], (rank, 2)).epoch(0)) for rank in (0, 1)]
    for batch, parts in zip(first, zip(*ranks, strict=True), strict=True):
        assert sorted(numbers([batch])) == sorted(numbers(list(parts)))
    assert len(numbers(list(source(["x", "y"]).epoch(0)))) == sum(bool(n % 2 or n % 3 or draw[n]) for n in range(ROWS))
