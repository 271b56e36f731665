"""Pairs of columns whose combination says more than the two columns: they become crosses.

A logistic regression on all columns one by one leaves a residual for each row and task. If a pair matters, the mean
residuals of its cells, learnt on one half of the rows, go with the residuals of the other half. This is the idea of
the search for pairs of GA2M (FAST), with cells of whole categories instead of four quadrants.

References:
    Lou, Caruana, Gehrke, Hooker, `Accurate intelligible models with pairwise interactions
    <https://doi.org/10.1145/2487575.2487579>`_, 2013.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from pipeline.profiling.column import Column
from pipeline.runtime.progress import Progress, Silent

# Columns with more values, and pairs with more cells, have too few rows a cell.
_MOST_VALUES, _MOST_CELLS, _MOST_COLUMNS = 500, 5000, 40
# Standard deviations above what chance gives: of 780 pairs and a few tasks it finds none at five.
_CERTAIN = 5.0
_MOST_PAIRS, _FEWEST_POSITIVES = 5, 200
_ITERATIONS = 30

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two columns whose combination matters.

    Args:
        columns: The columns.
        cells: The number of combinations that can occur, those with a null included.
        task: The task for which it matters most.
        deviations: The standard deviations by which it is above chance there.
    """

    columns: tuple[str, str]
    cells: int
    task: str
    deviations: float


def find_pairs(
    columns: Sequence[Column], label_by_task: Mapping[str, Floats], progress: Progress = Silent()
) -> list[Pair]:
    """The pairs that matter, the surest first.

    Args:
        columns: Columns of categories, or of few whole numbers.
        label_by_task: Task to the label of each row: 0, 1, or NaN where unknown.
        progress: Shows the tasks.
    """
    few = sorted((c for c in columns if 2 <= c.distinct <= _MOST_VALUES), key=lambda c: -len(c.known))[:_MOST_COLUMNS]
    codes = {column.name: _codes(column) for column in few}
    if len(codes) < 2:
        return []
    best: dict[tuple[str, str], Pair] = {}
    for task, label_N in progress.each("looking for crosses", label_by_task.items(), len(label_by_task)):
        known_N = ~np.isnan(label_N)
        if min((label_N == one).sum() for one in (0, 1)) < _FEWEST_POSITIVES:
            continue
        rows = {name: code_N[known_N] for name, code_N in codes.items()}
        residual_N, variance_N = _residuals(list(rows.values()), label_N[known_N])
        for one, other in combinations(rows, 2):
            sizes = [int(codes[name].max()) + 1 for name in (one, other)]
            if sizes[0] * sizes[1] > _MOST_CELLS:
                continue
            cell_N = rows[one] * sizes[1] + rows[other]
            deviations = _deviations(cell_N, sizes[0] * sizes[1], residual_N, variance_N)
            if deviations > max(_CERTAIN, best[one, other].deviations if (one, other) in best else 0):
                best[one, other] = Pair((one, other), sizes[0] * sizes[1], task, deviations)
    return _apart(sorted(best.values(), key=lambda pair: -pair.deviations))


def _apart(pairs: Sequence[Pair]) -> list[Pair]:
    """The surest pairs: those that share a column with a surer one are often its shadow, and are far less sure."""
    chosen: list[Pair] = []
    for pair in pairs:
        surer = [one for one in chosen if not set(one.columns).isdisjoint(pair.columns)]
        if len(chosen) < _MOST_PAIRS and all(pair.deviations > one.deviations / 2 for one in surer):
            chosen.append(pair)
    return chosen


def _codes(column: Column) -> Codes:
    """A number from 0 for each value; null is one, too."""
    return column.values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _residuals(codes: Sequence[Codes], label_N: Floats) -> tuple[Floats, Floats]:
    """What a logistic regression on the columns leaves of each label, and the label's variance by it."""
    widths = [int(code_N.max()) + 1 for code_N in codes]
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    place_NC = np.stack([code_N + start for code_N, start in zip(codes, starts, strict=True)], axis=1)
    ends = np.arange(0, place_NC.size + 1, len(codes))
    one_hot = csr_matrix((np.ones(place_NC.size), place_NC.ravel(), ends), shape=(len(label_N), sum(widths)))
    model = LogisticRegression(C=1.0, max_iter=_ITERATIONS, tol=1e-3)
    share_N = _fitted(model, one_hot, label_N)
    return label_N - share_N, share_N * (1 - share_N)


def _fitted(model: LogisticRegression, one_hot: csr_matrix, label_N: Floats) -> Floats:
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A rough fit will do: what it leaves of the columns themselves is the same for every pair.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(one_hot, label_N)
    return np.asarray(model.predict_proba(one_hot)[:, 1])


def _deviations(cell_N: Codes, cells: int, residual_N: Floats, variance_N: Floats) -> float:
    """How surely the cells' mean residuals, learnt on every other row, go with the residuals of the rest."""
    learnt, judged = slice(0, None, 2), slice(1, None, 2)
    sums_C = np.bincount(cell_N[learnt], residual_N[learnt], cells)
    weight_C = np.bincount(cell_N[learnt], variance_N[learnt], cells)
    # One Newton step from no effect, held back where a cell has few rows.
    effect_N = (sums_C / (weight_C + 1))[cell_N[judged]]
    gain_N = residual_N[judged] * effect_N
    spread = np.sqrt((gain_N**2).sum())
    return float(gain_N.sum() / spread) if spread else 0.0
