"""AUCs where the probabilities of the labels are known, and the deviations of AUCs by blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.intervals import auc_influence

Array = npt.NDArray[np.floating[Any]]
BLOCKS = 20


def expected_auc(score_N: Array, chance_N: Array) -> float:
    """The AUC of scores with each row in part positive, by its true probability, and in part negative.

    It is the share of right pairs that labels drawn again and again would give, without the noise of one draw. With the
    probabilities themselves as scores it is the ceiling.
    """
    order = np.argsort(score_N)
    level = np.cumsum(np.diff(score_N[order], prepend=score_N[order[:1]]) != 0)
    positive_L = np.bincount(level, chance_N[order])
    negative_L = np.bincount(level, 1 - chance_N[order])
    right = positive_L @ (np.cumsum(negative_L) - negative_L / 2)
    return float(right / (positive_L.sum() * negative_L.sum()))


def expected_aucs(score_NT: Array, chance_NT: Array) -> list[float]:
    """Those of all tasks."""
    return [expected_auc(score_N, chance_N) for score_N, chance_N in zip(score_NT.T, chance_NT.T, strict=True)]


def deviations(labels_NT: Array, score_NT: Array) -> list[list[int]]:
    """What each block of neighbouring rows adds to the deviation of each task's AUC from its expectation (DeLong).

    Args:
        labels_NT: 0, 1, or NaN where unknown.
        score_NT: Scores.

    Returns:
        Sums of the rows' influences in :data:`BLOCKS` blocks, in units of 1e-6, task by task. Those of two systems on
        the same rows are paired.
    """
    pairs = zip(labels_NT.T, score_NT.T, strict=True)
    influences = [auc_influence(label_N, score_N)[1] for label_N, score_N in pairs]
    return [[round(1e6 * float(b.sum())) for b in np.array_split(influence_N, BLOCKS)] for influence_N in influences]


def mean_cosines(diagnostics: Sequence[dict[str, float]], tasks: Sequence[str]) -> list[int]:
    """The mean cosine of each pair of tasks over the recorded steps, in units of 0.01, in the order of the pairs."""
    names = [f"cosine.{one}.{other}" for i, other in enumerate(tasks) for one in tasks[:i]]
    return [round(100 * float(np.nanmean([step[name] for step in diagnostics]))) for name in names]
