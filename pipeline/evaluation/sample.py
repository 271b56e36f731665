"""Reproducible samples of rows, and the units that a bootstrap draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

_ROW = "row"


def sampling_step(rows: int, limit: int) -> int:
    """The n of a sample of every n-th row, or n-th group, that has about ``limit`` rows; 1 keeps all rows.

    Args:
        rows: Number of rows to sample from.
        limit: Largest number of rows kept without sampling; at least 1.
    """
    return max(1, -(-rows // limit))


def sampled(rows: pl.LazyFrame, step: int, group: str | None = None) -> pl.LazyFrame:
    """The rows of a sample, in their order.

    Without groups it is every ``step``-th row, from the first on. With groups it is all rows of the groups whose number
    is a multiple of ``step``, and every ``step``-th row of those in no group. So it depends only on the rows' order
    and their groups.

    Args:
        rows: The rows.
        step: As :func:`sampling_step` gives it.
        group: Column of whole numbers, null for rows in no group; unused where the rows lack it.
    """
    if step == 1:
        return rows
    return rows.with_row_index(_ROW).filter(_is_sampled(rows, step, group)).drop(_ROW)


def sample_mask(rows: pl.DataFrame, step: int, group: str | None = None, first: int = 0) -> pl.Series:
    """Whether each row is in the sample of :func:`sampled`, for rows that are read in pieces.

    Args:
        rows: Some consecutive rows.
        step: As :func:`sampling_step` gives it.
        group: As in :func:`sampled`.
        first: Number of rows before these.
    """
    return rows.with_row_index(_ROW, offset=first).select(_is_sampled(rows.lazy(), step, group)).to_series()


def sampling_units(rows: pl.DataFrame, group: str) -> npt.NDArray[np.int64] | None:
    """The number of each row's unit, whose rows are drawn together; None where the rows lack the column of groups.

    Args:
        rows: The rows.
        group: Column of whole numbers from 0 on, null for rows in no group: each of these is its own unit, with a
            number below 0.
    """
    if group not in rows.columns:
        return None
    own = -1 - pl.int_range(pl.len(), dtype=pl.Int64)
    return rows.select(pl.coalesce(pl.col(group).cast(pl.Int64), own)).to_series().to_numpy()


def _is_sampled(rows: pl.LazyFrame, step: int, group: str | None) -> pl.Expr:
    row = pl.col(_ROW).cast(pl.Int64)
    number = pl.coalesce(group, row) if group is not None and group in rows.collect_schema() else row
    return number % step == 0
