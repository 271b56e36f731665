"""Columns that tell nearly the same: each can stand in for another, so that alone none of them seems to matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from features.spec import FeatureSpec

# From this association on two columns go together.
STRONG = 0.8
ROWS = 5000
# A value that occurs in fewer rows predicts by accident: of an id seen once anything follows.
_LEAST_SEEN = 10

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def associated(rows: pl.DataFrame, spec: FeatureSpec) -> list[tuple[str, ...]]:
    """Groups of columns any two of which have an association of at least :data:`STRONG`.

    Two numbers or times are compared by the size of Spearman's rank correlation, two columns of names by Goodman and
    Kruskal's lambda, in the direction in which it is larger: by how much the one column lowers the share of wrong
    guesses of the other. Other pairs, and lists, count as unrelated. Groups are those of complete linkage.

    Args:
        rows: Raw rows with the columns of the spec's features; of more than :data:`ROWS` every n-th is read.
        spec: Declares which columns are names.
    """
    rows = rows.gather_every(max(1, rows.height // ROWS))
    named = {c for name, feature in spec.features.items() for c in feature.categories(name)}
    plain = [c for c, dtype in rows.schema.items() if not dtype.is_nested() and rows.get_column(c).n_unique() > 1]
    measured = [c for c in plain if c not in named and (rows.schema[c].is_numeric() or rows.schema[c].is_temporal())]
    names = [c for c in plain if c in named]
    found = _clusters(measured, _rank_correlations(rows, measured))
    return found + _clusters(names, _lambdas({c: _codes(rows.get_column(c)) for c in names}))


def _rank_correlations(rows: pl.DataFrame, columns: Sequence[str]) -> Floats:
    """The sizes of the correlations of ranks; a row without a value has the mean rank."""
    if len(columns) < 2:
        return np.eye(len(columns))
    ranks = rows.select(pl.col(c).rank().fill_null(strategy="mean") for c in columns).to_numpy()
    correlation: Floats = np.corrcoef(ranks, rowvar=False)
    return np.abs(correlation)


def _codes(values: pl.Series) -> Codes:
    """A number for each value, from 0 on; null is a value."""
    return np.unique(values.hash().to_numpy(), return_inverse=True)[1].astype(np.int64)


def _lambdas(codes: Mapping[str, Codes]) -> Floats:
    association = np.eye(len(codes))
    for (i, a_N), (j, b_N) in combinations(enumerate(codes.values()), 2):
        association[i, j] = association[j, i] = max(guessed(a_N, b_N), guessed(b_N, a_N))
    return association


def guessed(a_N: Codes, b_N: Codes) -> float:
    """Goodman and Kruskal's lambda of b given a, over rows whose value of a is not rare; 0 if most rows are.

    Args:
        a_N: A number for each value of the column that guesses, from 0 on.
        b_N: The same of the column that is guessed.
    """
    usual_N = np.bincount(a_N)[a_N] >= _LEAST_SEEN
    if usual_N.mean() < 0.5:
        return 0.0
    a_N, b_N = a_N[usual_N], b_N[usual_N]
    pair_P, count_P = np.unique(a_N * (b_N.max() + 1) + b_N, return_counts=True)
    most_A = np.zeros(a_N.max() + 1)
    np.maximum.at(most_A, pair_P // (b_N.max() + 1), count_P)
    without = len(b_N) - np.bincount(b_N).max()
    return float(1 - (len(b_N) - most_A.sum()) / without) if without else 0.0


def _clusters(columns: Sequence[str], association: Floats) -> list[tuple[str, ...]]:
    """Groups of two or more columns, in the order of the columns."""
    if len(columns) < 2:
        return []
    distance = np.clip(1 - np.nan_to_num(association), 0, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "complete")
    number_C = fcluster(tree, 1 - STRONG + 1e-9, "distance")  # an association of exactly 0.8 is strong
    groups: dict[int, list[str]] = {}
    for column, number in zip(columns, number_C, strict=True):
        groups.setdefault(int(number), []).append(column)
    return [tuple(group) for group in groups.values() if len(group) > 1]
