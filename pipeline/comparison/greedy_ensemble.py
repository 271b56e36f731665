"""The weights of a greedy ensemble: to the best models others are added one by one, as long as validation AUC rises.

References:
    Caruana, Niculescu-Mizil, Crew, Ksikes, `Ensemble selection from libraries of models
    <https://doi.org/10.1145/1015330.1015432>`_, 2004, section 2: forward selection with replacement, from the mean of
    the best models on (section 2.2), against learning few validation labels by heart. Differs from it: the ensemble
    kept is the best of all sizes up to the largest, the smaller of equally good ones; no bagging of models.
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
        most: The largest number of members, those counted twice that are taken twice; at least 1. The best half as
            many models are members from the start.
    """
    known_N = ~np.isnan(label_N)
    label_N, score_MN = label_N[known_N], score_MN[:, known_N].astype(np.float64)
    first = np.argsort(-_aucs(label_N, score_MN), kind="stable")[: max(1, most // 2)]
    total_N, count_M = score_MN[first].sum(axis=0), np.isin(np.arange(len(score_MN)), first).astype(np.float64)
    best, best_M = _aucs(label_N, total_N[None])[0], count_M.copy()
    for _ in range(most - len(first)):
        auc_M = _aucs(label_N, total_N + score_MN)  # the AUC of a sum is that of the mean
        m = int(auc_M.argmax())
        total_N, count_M[m] = total_N + score_MN[m], count_M[m] + 1
        if auc_M[m] > best:
            best, best_M = auc_M[m], count_M.copy()
    weight_M: Floats = best_M / best_M.sum()
    return weight_M


def _aucs(label_N: Array, score_MN: Array) -> Floats:
    """The AUC of each row of scores; -1 where the labels are of one class."""
    return np.nan_to_num([auc_influence(label_N, score_N)[0] for score_N in score_MN], nan=-1.0)


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
