"""Rates of ids: the share of positives among the training rows of a value, computed out of fold for training.

A row's own label would be part of its value's rate, and trees would learn it by heart. So each training row has the
rate over the rows of the other folds; validation rows, test rows and requests have that over all training rows.

References:
    Micci-Barreca, `A preprocessing scheme for high-cardinality categorical attributes in classification and prediction
    problems <https://doi.org/10.1145/507533.507538>`_, 2001: rates are drawn to the overall rate where rows are few.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

PRIOR = 20.0  # rows of the overall rate that every value has besides its own
FOLDS = 5


def rates(id_N: Ints, label_N: Array, weight_N: Array, values: int) -> npt.NDArray[np.float32]:
    """The rate of each id; that of an id without rows is the overall rate.

    Args:
        id_N: Each row's id.
        label_N: 0 or 1.
        weight_N: Weight of each row.
        values: The number of ids: all are below it.
    """
    overall = float(weight_N @ label_N) / max(float(weight_N.sum()), np.finfo(np.float64).tiny)
    positive_X = np.bincount(id_N, weight_N * label_N, values)
    weight_X = np.bincount(id_N, weight_N, values)
    return ((positive_X + PRIOR * overall) / (weight_X + PRIOR)).astype(np.float32)


def out_of_fold(id_N: Ints, label_N: Array, weight_N: Array, values: int, seed: int) -> npt.NDArray[np.float32]:
    """Each training row's rate over the rows of the other folds. Arguments as in :func:`rates`, and the folds' seed."""
    fold_N = np.random.default_rng(seed).integers(0, FOLDS, len(id_N))
    rate_N = np.empty(len(id_N), np.float32)
    for fold in range(FOLDS):
        own_N = fold_N == fold
        rate_N[own_N] = rates(id_N[~own_N], label_N[~own_N], weight_N[~own_N], values)[id_N[own_N]]
    return rate_N
