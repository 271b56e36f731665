"""The weights of a greedy ensemble: members are added one by one, again and again, as long as validation AUC rises.

References:
    Caruana, Niculescu-Mizil, Crew, Ksikes, `Ensemble selection from libraries of models
    <https://doi.org/10.1145/1015330.1015432>`_, 2004, section 2: forward selection with replacement. Differs from it:
    the ensemble kept is the best of all sizes up to the largest, the smaller of equally good ones; no bagging of
    models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.intervals import auc_influence

Array = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]


def select(label_N: Array, score_MN: Array, most: int) -> Floats:
    """The weight of each model in the mean of one task's probabilities; they sum to 1.

    Args:
        label_N: Labels of validation rows: 0, 1, or NaN where unknown.
        score_MN: Each model's probabilities of the rows.
        most: The largest number of members, those counted twice that are taken twice; at least 1.
    """
    known_N = ~np.isnan(label_N)
    label_N, score_MN = label_N[known_N], score_MN[:, known_N].astype(np.float64)
    total_N, count_M = np.zeros(len(label_N)), np.zeros(len(score_MN))
    best, best_M = -np.inf, np.eye(1, len(score_MN))[0]
    for _ in range(most):
        # The AUC of a sum is that of the mean.
        auc_M = np.nan_to_num([auc_influence(label_N, total_N + score_N)[0] for score_N in score_MN], nan=-1.0)
        m = int(auc_M.argmax())
        total_N, count_M[m] = total_N + score_MN[m], count_M[m] + 1
        if auc_M[m] > best:
            best, best_M = float(auc_M[m]), count_M.copy()
    weight_M: Floats = best_M / best_M.sum()
    return weight_M


def cross_fitted_auc(label_N: Array, score_MN: Array, most: int) -> float:
    """The AUC to compare an ensemble by: of each half of the rows under the weights that the other half chooses.

    The AUC on the rows that chose the weights flatters them, all the more the more models there are. Halves are the
    earlier and the later rows, so that in a log the weights also have to last.

    Args:
        label_N: As in :func:`select`.
        score_MN: As in :func:`select`.
        most: As in :func:`select`.

    Returns:
        The mean over both halves; NaN if one has labels of one class only.
    """
    half = len(label_N) // 2
    parts = slice(half), slice(half, None)
    aucs = []
    for own, other in (parts, parts[::-1]):
        weight_M = select(label_N[own], score_MN[:, own], most)
        aucs.append(auc_influence(label_N[other], weight_M @ score_MN[:, other].astype(np.float64))[0])
    return float(np.mean(aucs))
