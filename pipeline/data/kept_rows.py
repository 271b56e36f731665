"""Which training rows remain when rows without a positive label are sampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import LABEL

Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


class KeptRows:
    """The rows of a split that have a positive label, and a share of the others.

    Whether a row is kept depends on the seed, its number in the split and its labels alone: not on windows, epochs or
    ranks. The labels are read once, a window at a time; a bit a row is held.

    Args:
        rows: The rows of the split, in order.
        total: Their number.
        tasks: The tasks whose labels count. A row without a positive label among them, unknown ones included, is kept
            with probability ``share``.
        share: In (0, 1).
        seed: Seed of the choice.
        window: Rows of a window; the first begins at row 0.
    """

    def __init__(
        self, rows: pl.LazyFrame, *, total: int, tasks: Sequence[str], share: float, seed: int, window: int
    ) -> None:
        positive = pl.any_horizontal((pl.col(LABEL + task) == 1).fill_null(value=False) for task in tasks)
        self._bits, self._counts = dict[int, npt.NDArray[np.uint8]](), dict[int, int]()
        for start in range(0, total, window):
            positive_N = rows.slice(start, window).select(positive).collect().to_series().to_numpy()
            kept_N = positive_N | (uniform(seed, np.arange(start, start + len(positive_N), dtype=np.uint64)) < share)
            self._bits[start], self._counts[start] = np.packbits(kept_N), int(kept_N.sum())

    def count(self, start: int) -> int:
        """Number of kept rows of the window that begins at a row."""
        return self._counts[start]

    def numbers(self, start: int) -> Rows:
        """The numbers in the split of the kept rows of a window, in order."""
        return start + np.flatnonzero(np.unpackbits(self._bits[start]))


def uniform(seed: int, number_N: Words) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row, by its own number: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    The seed's own draw is where the rows' sequence begins, so that two seeds share no stretch of it.
    """
    begin = _mixed(np.array([seed], np.uint64) * _STEP)
    word_N = _mixed(begin + (number_N + np.uint64(1)) * _STEP)
    return (word_N >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(word_N: Words) -> Words:
    for shift, factor in _ROUNDS:
        word_N = (word_N ^ (word_N >> shift)) * factor
    return word_N ^ (word_N >> np.uint64(31))
