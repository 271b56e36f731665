"""The choice between an ensemble and a candidate that is better than it by less than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import numpy.typing as npt

from pipeline.comparison.candidates import Candidate
from pipeline.comparison.scores import TestRows, scores_of
from pipeline.evaluation.intervals import auc_influence
from pipeline.runs.plan import ENSEMBLE

_TWO_SIDED = 1.96


def with_safer(candidates: Sequence[Candidate], rows: TestRows, tasks: Sequence[str]) -> list[Candidate]:
    """The candidates, with the ensemble marked as safer than the best one unless that is better beyond noise.

    A single model that is the best of many on the rows that chose it is partly lucky there; a mean of many is less so,
    and its figures are cross-fitted. The noise is 1.96 standard errors of the paired difference in mean AUC over the
    tasks, of DeLong's influences of the validation rows, which count as independent.

    Args:
        candidates: The candidates, perhaps with an ensemble.
        rows: The validation rows.
        tasks: The tasks.
    """
    ensemble = next((one for one in candidates if one.system == ENSEMBLE.name), None)
    best = min(candidates, key=lambda one: one.delta_m_pct, default=None)
    if ensemble is None or best is None or best is ensemble:
        return [*candidates]
    gain = fmean(best.auc.values()) - fmean(ensemble.auc.values())
    difference_N = _influence(best, rows, tasks) - _influence(ensemble, rows, tasks)
    is_safer = gain <= _TWO_SIDED * float(np.sqrt(np.square(difference_N).sum()))
    return [replace(one, is_safer=True) if one is ensemble and is_safer else one for one in candidates]


def _influence(candidate: Candidate, rows: TestRows, tasks: Sequence[str]) -> npt.NDArray[np.float64]:
    """Each row's influence on a candidate's mean AUC over the tasks."""
    label_NT, score_NT = rows.labels(tasks), scores_of(candidate.run, rows)
    influences = [auc_influence(label_NT[:, t], score_NT[:, t])[1] for t in range(len(tasks))]
    mean_N: npt.NDArray[np.float64] = np.mean(influences, axis=0)
    return mean_N
