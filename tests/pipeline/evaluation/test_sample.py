"""Samples and units of rows against a loop over the rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import polars.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.sample import sample_mask, sampled, sampling_step, sampling_units

GROUPS = st.none() | st.lists(st.none() | st.integers(0, 2**62) | st.integers(0, 5), min_size=1, max_size=40)


def frame(groups: list[int | None] | None, rows: int = 40) -> pl.DataFrame:
    """Numbered rows, with a column of groups unless there is none."""
    if groups is None:
        return pl.DataFrame({"number": range(rows)})
    return pl.DataFrame({"number": range(len(groups)), "group": pl.Series(groups, dtype=pl.Int64)})


def looped(rows: pl.DataFrame, step: int) -> list[int]:
    """The numbers of a sample's rows, one row after another."""
    kept = []
    for number, row in enumerate(rows.iter_rows(named=True)):
        group = row.get("group")
        if (number if group is None else group) % step == 0:
            kept.append(number)
    return kept


@given(GROUPS, st.integers(1, 9))
def test_a_sample_is_that_of_a_loop(groups: list[int | None] | None, step: int) -> None:
    rows = frame(groups)
    found = sampled(rows.lazy(), step, "group").collect()
    polars.testing.assert_frame_equal(found, rows[looped(rows, step)])


@given(GROUPS, st.integers(1, 9), st.lists(st.integers(0, 40), max_size=4))
def test_pieces_have_the_sample_of_the_whole(groups: list[int | None] | None, step: int, cuts: list[int]) -> None:
    rows = frame(groups)
    ends = [0, *sorted(min(cut, rows.height) for cut in cuts), rows.height]
    pieces = [(start, rows[start:end]) for start, end in pairwise(ends)]
    found = pl.concat(piece.filter(sample_mask(piece, step, "group", start)) for start, piece in pieces)
    polars.testing.assert_frame_equal(found, sampled(rows.lazy(), step, "group").collect())


@given(GROUPS, st.integers(1, 9))
def test_without_a_named_group_it_is_every_nth_row(groups: list[int | None] | None, step: int) -> None:
    rows = frame(groups)
    polars.testing.assert_frame_equal(sampled(rows.lazy(), step).collect(), rows[::step])


@given(GROUPS)
def test_units_are_groups_and_a_row_without_one_is_alone(groups: list[int | None] | None) -> None:
    unit_N = sampling_units(frame(groups), "group")
    if groups is None:
        assert unit_N is None
        return
    assert unit_N is not None
    assert unit_N.dtype == np.int64
    for i, (group, unit) in enumerate(zip(groups, unit_N, strict=True)):
        same = [j for j, other in enumerate(unit_N) if other == unit]
        assert same == [j for j, other in enumerate(groups) if (j == i if group is None else other == group)]


@pytest.mark.parametrize(
    ("rows", "limit", "step"), [(0, 5, 1), (5, 5, 1), (6, 5, 2), (10, 5, 2), (11, 5, 3), (7, 1, 7)]
)
def test_a_step_leaves_at_most_as_many_rows_as_the_limit(rows: int, limit: int, step: int) -> None:
    assert sampling_step(rows, limit) == step
    assert len(range(0, rows, step)) <= limit
