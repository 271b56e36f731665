"""Scores in order, overall and by group, in bounded memory: exact up to a limit of rows, by a histogram beyond.

A row is held as one word: the bits of its float32 score, which sort like the score, then its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

# Bins get finer towards 0 and 1, like bins of a logit: 2^14 for every halving of the distance, down to 2^-32.
_SHIFT = 23 - 14
_LOWEST = (127 - 32) << 23
_HALF = (127 - 1) << 23
_SIDE = (_HALF - _LOWEST) >> _SHIFT
BINS = 2 * _SIDE + 1
NO_GROUP = -(1 << 63)  # the least int64, for rows without a group
_CHUNK = 1 << 20
_EVERY = 1 << 63
_GROUPED = np.dtype([("group", np.int64), ("word", np.uint32)])


def words(score_N: npt.NDArray[np.floating], label_N: npt.NDArray[np.bool_]) -> Words:
    """Rows as words; scores are in [0, 1]."""
    score = score_N.astype(np.float32) + np.float32(0)  # turns -0.0 into 0.0: its sign bit would sort it last
    return score.view(np.uint32) << np.uint32(1) | label_N


def bins(score_N: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """The bin of each score, below :data:`BINS`; never lower for a higher score."""
    low_N = score_N < 0.5
    tail_N = np.where(low_N, score_N, 1 - score_N)  # exact: from a half up, 1 - score is a float32
    bin_N = (np.maximum(tail_N.view(np.uint32), _LOWEST) - _LOWEST) >> _SHIFT
    return np.where(low_N, bin_N, 2 * _SIDE - bin_N).astype(np.uint32)


@dataclass(frozen=True)
class Curve:
    """Rows, positives and sums of scores at or below each level of the score, levels ascending.

    Args:
        rows_L: Number of rows.
        positives_L: Number of positives.
        predicted_L: Sum of the scores.
        exact: Whether a level is one score instead of a bin.
    """

    rows_L: Counts
    positives_L: Counts
    predicted_L: Floats
    exact: bool

    def auc(self) -> tuple[float, float]:
        """The AUC and its largest possible error: half the pairs that share a bin, as a share of all pairs.

        Both are NaN with a single class.
        """
        negatives_L = (self.rows_L - self.positives_L).astype(np.float64)
        positive_L, negative_L = _steps(self.positives_L), _steps(negatives_L)
        pairs = float(positive_L.sum()) * float(negative_L.sum())
        if not pairs:
            return float("nan"), float("nan")
        tied = float(positive_L @ negative_L) / 2
        return float(positive_L @ (negatives_L - negative_L / 2)) / pairs, 0.0 if self.exact else tied / pairs

    def average_precision(self) -> float:
        """The precision among the rows at or above each level, weighted by the level's positives; NaN without any."""
        positives = float(self.positives_L[-1]) if len(self.positives_L) else 0.0
        if not positives:
            return float("nan")
        own_L, rows_L = _steps(self.positives_L), _steps(self.rows_L)
        above_L, taken_L = own_L[::-1].cumsum()[::-1], rows_L[::-1].cumsum()[::-1]
        return float(own_L @ np.divide(above_L, taken_L, out=np.zeros_like(above_L), where=taken_L > 0)) / positives

    def deciles(self) -> tuple[Floats, Floats, float]:
        """Predicted positives and positives in each tenth of the rows, lowest scores first; and the rows of a tenth.

        Where a tenth ends within a level, the level's rows are divided evenly, so that their order does not matter.
        """
        rows_L = np.append(0, self.rows_L)
        cuts = np.linspace(0, rows_L[-1], 11)
        predicted, positives = (
            np.diff(np.interp(cuts, rows_L, np.append(0, column))) for column in (self.predicted_L, self.positives_L)
        )
        return predicted, positives, float(cuts[1])


class Ranked:
    """The scores of one task.

    Args:
        limit: Largest number of rows held; beyond it all rows go into a histogram.
    """

    def __init__(self, limit: int) -> None:
        self._held = _Buffer(np.dtype(np.uint32), limit)
        self._histogram: _Histogram | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._held.nbytes + (self._histogram.nbytes if self._histogram else 0)

    def add(self, word_N: Words) -> None:
        """Add some rows."""
        if len(word_N) > self._held.room:
            self._histogram = self._histogram or _Histogram()
            self._histogram.add(self._held.rows)
            self._held.size = 0
        if self._histogram and len(word_N) > self._held.room:
            self._histogram.add(word_N)
        else:
            self._held.append(word_N)

    def curve(self) -> Curve:
        """The curve of all rows so far."""
        if self._histogram:
            self._histogram.add(self._held.rows)
            self._held.size = 0
            return self._histogram.curve()
        word_N = self._held.rows
        word_N.sort()  # in place: the order of held rows does not matter
        end_L, positives_L = _levels(word_N)
        score_N = (word_N >> 1).view(np.float32)
        return Curve(end_L + 1, positives_L, np.cumsum(score_N, dtype=np.float64)[end_L], exact=True)


class Grouped:
    """The scores of one task by group: the mean over groups of the AUC within each, weighted by their rows.

    Groups with a single class have no AUC and are left out. Where the rows exceed the limit, groups are sampled: those
    whose hash is below a threshold, which is halved until the rows fit. The sample depends on the rows, not on their
    order.

    Args:
        limit: Largest number of rows held.
    """

    def __init__(self, limit: int) -> None:
        self._held = _Buffer(_GROUPED, limit)
        self._threshold = _EVERY

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._held.nbytes

    @property
    def share(self) -> float:
        """Share of the groups that are held; 1 for all."""
        return self._threshold / _EVERY

    def add(self, group_N: npt.NDArray[np.int64], word_N: Words) -> None:
        """Add some rows."""
        new = np.empty(len(word_N), _GROUPED)
        new["group"], new["word"] = group_N, word_N
        new = self._sampled(new)
        while len(new) > self._held.room:
            self._threshold //= 2
            kept = self._sampled(self._held.rows)
            self._held.rows[: len(kept)] = kept
            self._held.size = len(kept)
            new = self._sampled(new)
        self._held.append(new)

    def auc(self) -> float:
        """The mean over the held groups; NaN where no group has both classes."""
        order_N = np.argsort(self._held.rows["group"])
        group_N, word_N = self._held.rows["group"][order_N], self._held.rows["word"][order_N]
        dense_N = np.cumsum(np.diff(group_N, prepend=group_N[:1]) != 0, dtype=np.uint64)
        word_N = np.sort(dense_N << 32 | word_N)
        end_L, positives_L = _levels(word_N)
        group_L, negatives_L = (word_N[end_L] >> 32).astype(np.int64), (end_L + 1 - positives_L).astype(np.float64)
        positive_L, negative_L = _steps(positives_L), _steps(negatives_L)
        positive_G, negative_G = (np.bincount(group_L, step_L) for step_L in (positive_L, negative_L))
        below_L = negatives_L - negative_L / 2 - (np.cumsum(negative_G) - negative_G)[group_L]
        both_G = (positive_G > 0) & (negative_G > 0)
        if not both_G.any():
            return float("nan")
        area_G = np.bincount(group_L, positive_L * below_L)[both_G] / (positive_G * negative_G)[both_G]
        return float(np.average(area_G, weights=(positive_G + negative_G)[both_G]))

    def _sampled(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        sampled: npt.NDArray[Any] = rows[_hash(rows["group"]) < self._threshold]
        return sampled


class _Buffer:
    """Rows in one array, which grows by doubling up to a limit."""

    def __init__(self, dtype: np.dtype[Any], limit: int) -> None:
        self._array = np.empty(0, dtype)
        self._limit = limit
        self.size = 0

    @property
    def rows(self) -> npt.NDArray[Any]:
        return self._array[: self.size]

    @property
    def room(self) -> int:
        return self._limit - self.size

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    def append(self, rows: npt.NDArray[Any]) -> None:
        end = self.size + len(rows)
        assert end <= self._limit
        if end > len(self._array):
            grown = np.empty(min(self._limit, max(end, 2 * len(self._array))), self._array.dtype)
            grown[: self.size] = self.rows
            self._array = grown
        self._array[self.size : end] = rows
        self.size = end


class _Histogram:
    """Rows, positives and the sum of the scores in each bin."""

    def __init__(self) -> None:
        self.rows, self.positives = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        self.predicted = np.zeros(BINS)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.positives.nbytes + self.predicted.nbytes

    def add(self, word_N: Words) -> None:
        for start in range(0, len(word_N), _CHUNK):
            word = word_N[start : start + _CHUNK]
            score = (word >> 1).view(np.float32)
            bin_ = bins(score)
            self.rows += np.bincount(bin_, minlength=BINS)
            self.positives += np.bincount(bin_[(word & 1).astype(bool)], minlength=BINS)
            self.predicted += np.bincount(bin_, score, minlength=BINS)

    def curve(self) -> Curve:
        return Curve(self.rows.cumsum(), self.positives.cumsum(), self.predicted.cumsum(), exact=False)


def _levels(word_N: npt.NDArray[np.unsignedinteger]) -> tuple[Counts, Counts]:
    """Position of the last row of each score among sorted words, and the number of positives up to it."""
    level_N = word_N >> 1
    end_L = np.append(np.flatnonzero(level_N[1:] != level_N[:-1]), len(word_N) - 1)[: len(word_N)]
    return end_L, np.cumsum(word_N & 1, dtype=np.int64)[end_L]


def _steps(total_L: npt.NDArray[Any]) -> Floats:
    return np.diff(total_L, prepend=0).astype(np.float64)


def _hash(group_N: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64, 63 bits of it: the same on every machine and in every version."""
    mixed_N = group_N.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_N = (mixed_N ^ mixed_N >> np.uint64(shift)) * np.uint64(factor)
    return (mixed_N ^ mixed_N >> np.uint64(31)) >> np.uint64(1)
