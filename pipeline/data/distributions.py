"""Distributions of encoded columns in groups, and the index of how far two of them are apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features.constants import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY

_TENTHS = 10
# The smallest share of a group: a share of 0 would make the index infinite.
LEAST_SHARE = 0.5e-4

Whole = npt.NDArray[np.int64]
Entries = npt.NDArray[Any]


class Distribution(ABC):
    """The entries of one encoded column in some rows, divided into groups."""

    @property
    @abstractmethod
    def count_G(self) -> Whole:
        """The number of entries in each group."""

    @abstractmethod
    def groups(self, entries_E: Entries) -> Whole:
        """The group of each of other entries of the column."""

    def counts(self, entries_E: Entries) -> Whole:
        """The number of other entries in each group."""
        return np.bincount(self.groups(entries_E), minlength=len(self.count_G)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class IdDistribution(Distribution):
    """The ids of a column.

    The known ids form ten groups of about equal share, the frequent ids first; null and out of vocabulary are a group
    each after them. A known id without an entry is in the last of the ten.

    Args:
        count_I: The number of entries of each id, from 0 to some id.
    """

    count_I: Whole

    @classmethod
    def of(cls, rows: pl.LazyFrame, column: str) -> IdDistribution:
        """The ids of a column of encoded rows, which are read by streaming."""
        return cls(count_ids(rows, column))

    @property
    def count_G(self) -> Whole:
        """See :attr:`Distribution.count_G`."""
        return self.summed(self.count_I)

    def groups(self, entries_E: Entries) -> Whole:
        """See :meth:`Distribution.groups`."""
        return self._of_ids(len(self._group_I), entries_E)

    def summed(self, count_I: Whole) -> Whole:
        """The number of entries in each group, of other rows whose ids are counted."""
        group_I = self.groups(np.arange(len(count_I)))
        return np.bincount(group_I, weights=count_I, minlength=_TENTHS + 2).astype(np.int64)

    def _of_ids(self, known: int, ids_E: Entries) -> Whole:
        group_E: Whole = np.where(ids_E < known, self._group_I[np.minimum(ids_E, known - 1)], _TENTHS - 1)
        return group_E

    @cached_property
    def _group_I(self) -> Whole:
        """The group of each id."""
        count_I = np.zeros(max(len(self.count_I), FIRST_KNOWN), np.int64)
        count_I[: len(self.count_I)] = self.count_I
        known_K = count_I[FIRST_KNOWN:]
        order_K = np.argsort(-known_K, kind="stable")
        before_K = known_K[order_K].cumsum() - known_K[order_K]
        group_I = np.empty(len(count_I), np.int64)
        group_I[FIRST_KNOWN + order_K] = np.minimum(before_K * _TENTHS // max(known_K.sum(), 1), _TENTHS - 1)
        # Padding is no entry of a row.
        group_I[:FIRST_KNOWN] = _TENTHS
        group_I[OUT_OF_VOCABULARY] = _TENTHS + 1
        return group_I


@dataclass(frozen=True, eq=False)
class NumberDistribution(Distribution):
    """The numbers of a column.

    An unknown number is encoded as 0: zeros are a group of their own. The others form up to ten groups of about equal
    share.

    Args:
        edges: The lowest number of each group but the first, ascending.
        counted: The number of entries in each group: the zeros, then the others.
        mean: Their mean.
        deviation: Their standard deviation.
    """

    edges: tuple[float, ...]
    counted: tuple[int, ...]
    mean: float
    deviation: float

    @classmethod
    def of(cls, entries_E: Entries, sample_E: Entries) -> NumberDistribution:
        """The distribution of numbers.

        Args:
            entries_E: The numbers.
            sample_E: A sample of them, whose quantiles become the edges.
        """
        others = sample_E[sample_E != 0]
        tenths = np.arange(1, _TENTHS) / _TENTHS
        # Edges are numbers that occur, and are above the lowest.
        edges = np.unique(np.quantile(others, tenths, method="inverted_cdf")) if len(others) else np.empty(0)
        edges = edges[edges > others.min()] if len(others) else edges
        mean, deviation = (float(entries_E.mean(dtype=np.float64)), float(entries_E.std(dtype=np.float64)))
        empty = cls(tuple(map(float, edges)), (0,) * (len(edges) + 2), mean, deviation)
        return cls(empty.edges, tuple(map(int, empty.counts(entries_E))), mean, deviation)

    @property
    def count_G(self) -> Whole:
        """See :attr:`Distribution.count_G`."""
        return np.array(self.counted, np.int64)

    def groups(self, entries_E: Entries) -> Whole:
        """See :meth:`Distribution.groups`."""
        place_E = np.searchsorted(np.array(self.edges), entries_E, side="right") + 1
        return np.where(entries_E == 0, 0, place_E)


def stability_index(count_G: Whole, before_G: Whole) -> float:
    """The population stability index: the sum over groups of (p - q) ln(p / q), with two distributions' shares p and q.

    A share below 0.00005 counts as that.

    Args:
        count_G: Entries of one in each group; without any, all shares are 0.
        before_G: Entries of the other.
    """
    pairs = zip(shares(count_G).tolist(), shares(before_G).tolist(), strict=True)
    bounded = ((max(p, LEAST_SHARE), max(q, LEAST_SHARE)) for p, q in pairs)
    return float(sum((p - q) * log(p / q) for p, q in bounded))


def shares(count_G: Whole) -> npt.NDArray[np.float64]:
    """Counts as shares of their sum; zeros without any."""
    return count_G / max(int(count_G.sum()), 1)


def special_shares(count_I: Whole) -> tuple[float, float]:
    """The shares of null and of out of vocabulary among counted ids."""
    share_I = shares(count_I)
    null, unseen = (float(share_I[one]) if one < len(share_I) else 0.0 for one in (NULL, OUT_OF_VOCABULARY))
    return null, unseen


def count_ids(rows: pl.LazyFrame, column: str) -> Whole:
    """The number of entries of each id of a column of encoded rows, from 0 to the highest id."""
    ids = rows.select(pl.col(column).alias("id"))
    if isinstance(ids.collect_schema()["id"], pl.List):
        ids = ids.explode("id", empty_as_null=False)
    counts = ids.group_by("id").len("n").collect(engine="streaming")
    found, numbers = counts.get_column("id").to_numpy(), counts.get_column("n").to_numpy()
    count_I = np.zeros(int(found.max()) + 1 if len(found) else 0, np.int64)
    count_I[found] = numbers
    return count_I
