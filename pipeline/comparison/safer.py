"""The choice between an ensemble and a single candidate, by rows that have chosen neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from pipeline.comparison.candidates import Candidate
from pipeline.comparison.scores import TestRows, scores_of
from pipeline.evaluation.intervals import auc_influence
from pipeline.runs.plan import ENSEMBLE

_TWO_SIDED = 1.96
Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class CrossFitted:
    """The mean AUC over the tasks of two ways to choose, each on one half of the validation rows, judged on the other.

    The best of many candidates is partly lucky on the rows that chose it; on the other half it is not. Halves are the
    earlier and the later rows, and figures are means over both directions.

    Args:
        single: The best candidate that is no ensemble.
        ensemble: The ensemble; see :func:`pipeline.comparison.greedy_ensemble.cross_fitted_auc`.
        noise: 1.96 standard errors of the paired difference in mean AUC, of DeLong's influences of the rows, which
            count as independent.
    """

    single: float
    ensemble: float
    noise: float

    @property
    def is_ensemble_taken(self) -> bool:
        """Whether the single candidate is not better beyond noise."""
        return self.single - self.ensemble <= self.noise


def cross_fitted(candidates: Sequence[Candidate], rows: TestRows, tasks: Sequence[str]) -> CrossFitted | None:
    """Compare the best single candidate with the ensemble; None unless there are both.

    Args:
        candidates: The candidates, each with a run of all tasks.
        rows: The validation rows that the ensemble was chosen on.
        tasks: The tasks.
    """
    ensemble = next((one for one in candidates if one.system == ENSEMBLE.name), None)
    singles = [one for one in candidates if one is not ensemble]
    if ensemble is None or not singles:
        return None
    label_NT, half = rows.labels(tasks), len(rows) // 2
    scores = [scores_of(one.run, rows) for one in singles]
    parts = slice(half), slice(half, None)
    auc_HM = np.array([[_mean_auc(label_NT[part], score_NT[part]) for score_NT in scores] for part in parts])
    single = fmean(auc_HM[other, auc_HM[own].argmax()] for own, other in ((0, 1), (1, 0)))
    best_NT = scores[int(auc_HM.mean(axis=0).argmax())]
    difference_N = _influence(label_NT, best_NT) - _influence(label_NT, scores_of(ensemble.run, rows))
    noise = _TWO_SIDED * float(np.sqrt(np.square(difference_N).sum()))
    return CrossFitted(single, fmean(ensemble.auc.values()), noise)


def _mean_auc(label_NT: Array, score_NT: Array) -> float:
    """The mean AUC over the tasks; 0 where the labels of one are of one class."""
    aucs = [auc_influence(label_NT[:, t], score_NT[:, t])[0] for t in range(label_NT.shape[1])]
    return float(np.nan_to_num(np.mean(aucs), nan=0.0))


def _influence(label_NT: Array, score_NT: Array) -> npt.NDArray[np.float64]:
    """Each row's influence on the mean AUC over the tasks."""
    influences = [auc_influence(label_NT[:, t], score_NT[:, t])[1] for t in range(label_NT.shape[1])]
    mean_N: npt.NDArray[np.float64] = np.mean(influences, axis=0)
    return mean_N
