"""Intervals of differences of AUCs, over the test rows and over the seeds of the training.

`docs/statistics.md` explains the method and the reasons for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.floating]

LEVEL = 0.95
_ROUNDING = 1e-12  # of sums of float64, far below any difference of AUCs
DRAWS = 50_000  # the simulated critical value is then off by less than 0.01


def auc_influence(label_N: Array, score_N: Array) -> tuple[float, Floats]:
    """AUC and the influence of each row on it; the squares add up to the variance of DeLong et al.

    A positive's influence follows the share of negatives that it beats, a negative's the share of positives that beat
    it (ties count half), each less its mean.

    Args:
        label_N: 0, 1, or NaN where unknown; the influence of such rows is 0.
        score_N: Scores, higher for likelier positives.

    Returns:
        The AUC and the influences; NaN everywhere with a single class.

    References:
        DeLong, DeLong, Clarke-Pearson, `Comparing the areas under two or more correlated receiver operating
        characteristic curves <https://doi.org/10.2307/2531595>`_, 1988.
    """
    known_N = ~np.isnan(label_N)
    order = np.flatnonzero(known_N)[np.argsort(score_N[known_N])]
    positive = label_N[order] == 1
    positives = int(positive.sum())
    negatives = len(order) - positives
    if not positives or not negatives:
        return float("nan"), np.full(len(label_N), np.nan)
    level = np.cumsum(np.diff(score_N[order], prepend=score_N[order[:1]]) != 0)
    positive_L, negative_L = np.bincount(level, positive), np.bincount(level, ~positive)
    beats_L = (np.cumsum(negative_L) - negative_L / 2) / negatives
    beaten_L = (positives - np.cumsum(positive_L) + positive_L / 2) / positives
    auc = float(positive_L @ beats_L) / positives
    size = np.where(positive, positives, negatives).astype(np.float64)
    influence_N = np.zeros(len(label_N))
    influence_N[order] = (np.where(positive, beats_L[level], beaten_L[level]) - auc) / np.sqrt(
        size * np.maximum(size - 1, 1)
    )
    return auc, influence_N


@dataclass(frozen=True)
class Estimate:
    """AUCs of every seed, and their covariance over the test rows.

    A column K is one task of one system, systems one after another. All systems and tasks share the rows, so all AUCs
    are paired.

    Args:
        auc_SMT: AUC of each seed, system and task.
        mean_KK: Covariance, over test rows, of the means over seeds.
        each_KK: Covariance of a single seed's AUCs, averaged over the seeds.
    """

    auc_SMT: Floats
    mean_KK: Floats
    each_KK: Floats

    @classmethod
    def of(
        cls,
        labels_NT: Array,
        scores_SNK: Iterable[Array],
        unit_N: npt.NDArray[np.integer] | None = None,
        share: float = 1.0,
    ) -> Estimate:
        """Estimate from the rows' scores.

        Args:
            labels_NT: 0, 1, or NaN where unknown.
            scores_SNK: Scores of each seed; one seed's are held at a time.
            unit_N: Units of dependent rows, such as those of one user (Obuchowski 1997); by default each row is a unit.
            share: Share of all test rows that these rows are a sample of; the covariances are scaled to all rows.
        """
        unit = None if unit_N is None else np.unique(unit_N, return_inverse=True)[1]
        tasks = labels_NT.shape[1]
        aucs: list[list[float]] = []
        total_UK, each_KK = np.zeros((1, 1)), np.zeros((1, 1))
        for scores_NK in scores_SNK:
            pairs = [auc_influence(labels_NT[:, k % tasks], score_N) for k, score_N in enumerate(scores_NK.T)]
            parts = [i if unit is None else np.bincount(unit, i) for _, i in pairs]
            influence_UK: Floats = np.stack(parts, axis=1)
            aucs.append([auc for auc, _ in pairs])
            total_UK = total_UK + influence_UK
            each_KK = each_KK + influence_UK.T @ influence_UK
        auc_SMT = np.array(aucs).reshape(len(aucs), -1, tasks)
        return cls(auc_SMT, share * total_UK.T @ total_UK / len(aucs) ** 2, share * each_KK / len(aucs))


@dataclass(frozen=True)
class Difference:
    """One system's AUC less another's.

    Args:
        system: Number of the system.
        against: Number of the system that it is compared with.
        task: Number of the task; None for the mean over the tasks.
    """

    system: int
    against: int
    task: int | None

    def weights(self, systems: int, tasks: int) -> Floats:
        """Coefficients of the columns of an :class:`Estimate`."""
        weight_MT = np.zeros((systems, tasks))
        read = slice(None) if self.task is None else self.task
        weight_MT[self.system, read], weight_MT[self.against, read] = 1, -1
        return weight_MT.ravel() / (tasks if self.task is None else 1)


def intervals(
    estimate: Estimate, differences: Sequence[Difference], level: float = LEVEL, draws: int = DRAWS
) -> Floats:
    """Intervals that hold all the true differences at once with the probability ``level``.

    A difference of means over S seeds varies with the rows and with the seeds. The two variances add up, less the part
    that both count, which follows from the excess of the seeds' own variances over that of their mean (Gallas 2006, for
    cases and readers; here rows and seeds). A few seeds estimate their variance poorly: it is pooled over all systems,
    or taken from the two systems alone where that is larger. Intervals are Student's, with the degrees of freedom of
    the sum (Satterthwaite), and wide enough to hold all true differences at once with the probability ``level``: the
    maximum of correlated normal variables is simulated (Hothorn, Bretz and Westfall 2008).

    Args:
        estimate: The AUCs and their covariance.
        differences: The differences that get an interval.
        level: Probability that none of the intervals misses.
        draws: Simulated draws for the critical value.

    Returns:
        3 x differences: the difference, its lower and its upper end; NaN where a task had a single class.
    """
    found = spreads(estimate, differences)
    tail = ndtr(-critical_value(found.rows_CC, level, draws))
    half_C = -stdtrit(found.freedom_C, tail) * found.error_C
    ends = np.full((3, len(differences)), np.nan)
    ends[:, found.known_C] = found.delta_C + np.outer([0, -1, 1], half_C)
    return ends


@dataclass(frozen=True)
class Spreads:
    """Differences and what is known of their errors, C of them, for tasks with two classes.

    Args:
        known_C: For each difference that was asked for whether it is among them; the others had a task with one class.
        delta_C: The differences, as means over the seeds.
        error_C: Their standard errors.
        freedom_C: Degrees of freedom of the standard errors.
        rows_CC: Their covariance over the test rows alone.
    """

    known_C: npt.NDArray[np.bool_]
    delta_C: Floats
    error_C: Floats
    freedom_C: Floats
    rows_CC: Floats


def spreads(estimate: Estimate, differences: Sequence[Difference]) -> Spreads:
    """The standard errors that :func:`intervals` explains, before any interval is made of them.

    Args:
        estimate: The AUCs and their covariance.
        differences: The differences.
    """
    seeds, systems, tasks = estimate.auc_SMT.shape
    contrast_CK = np.array([d.weights(systems, tasks) for d in differences]).reshape(len(differences), -1)
    known_K = ~np.isnan(estimate.auc_SMT).any(axis=0).ravel()
    known_C = np.array([not weight_K[~known_K].any() for weight_K in contrast_CK])
    contrast = contrast_CK[known_C][:, known_K]
    mean, each = (matrix[known_K][:, known_K] for matrix in (estimate.mean_KK, estimate.each_KK))
    delta_SC = estimate.auc_SMT.reshape(seeds, -1)[:, known_K] @ contrast.T
    delta_SC[np.abs(delta_SC) < _ROUNDING] = 0
    rows_CC = contrast @ mean @ contrast.T
    # Two systems of equal scores have no covariance but that of rounding, whose correlations would be any number.
    alike_C = rows_CC.diagonal() <= _ROUNDING * np.einsum("ck,kl,cl->c", *map(np.abs, (contrast, mean, contrast)))
    rows_CC[alike_C], rows_CC[:, alike_C] = 0, 0
    variance_C, freedom_C = rows_CC.diagonal(), np.full(len(contrast), np.inf)
    if seeds > 1:
        chosen = [d for d, known in zip(differences, known_C, strict=True) if known]
        pooled = np.array([_pooled(estimate.auc_SMT, difference) for difference in chosen]).reshape(-1, 2)
        training_C = np.maximum(delta_SC.var(axis=0, ddof=1), pooled[:, 0]) / seeds
        both_C = (np.einsum("ck,kl,cl->c", contrast, each, contrast) - rows_CC.diagonal()) / (seeds - 1)
        variance_C = np.maximum(rows_CC.diagonal() + training_C - both_C, np.maximum(rows_CC.diagonal(), training_C))
        part_C = np.divide(training_C, variance_C, out=np.zeros(len(contrast)), where=variance_C > 0)
        freedom_C = np.divide(pooled[:, 1], part_C**2, out=freedom_C, where=part_C > 0)
    return Spreads(known_C, delta_SC.mean(axis=0), np.sqrt(variance_C.clip(min=0)), freedom_C, rows_CC)


def _pooled(auc_SMT: Floats, difference: Difference) -> tuple[float, float]:
    """Variance of a difference over the seeds, from the residuals of all systems, and its degrees of freedom.

    The effect of a seed on all systems alike is left out, since it cancels in differences. So is a system that does not
    vary with the seed, because it has one model for all seeds.
    """
    auc_SM = auc_SMT.mean(axis=2) if difference.task is None else auc_SMT[:, :, difference.task]
    moved_M = np.ptp(auc_SM, axis=0) > 0
    auc = auc_SM[:, moved_M]
    residual = auc - auc.mean(axis=0)
    freedom = len(auc) - 1
    if auc.shape[1] > 1:
        residual = residual - residual.mean(axis=1, keepdims=True)
        freedom *= auc.shape[1] - 1
    sides = int(moved_M[difference.system]) + int(moved_M[difference.against])
    return sides * float((residual**2).sum()) / freedom, float(freedom)


def critical_value(covariance_CC: Floats, level: float, draws: int = DRAWS) -> float:
    """The value that the largest absolute of correlated standard normal variables exceeds with probability 1 - level.

    The correlations are those over the rows; a few seeds are not enough to estimate theirs. A variable without variance
    exceeds nothing.
    """
    varied_C = covariance_CC.diagonal() > 0
    varied_CC = covariance_CC[varied_C][:, varied_C]
    deviation_C = np.sqrt(varied_CC.diagonal())
    values, vectors = np.linalg.eigh(varied_CC / np.outer(deviation_C, deviation_C))
    normal = np.random.default_rng(0).standard_normal((draws, len(values)))
    largest = np.abs(normal @ (vectors * np.sqrt(values.clip(min=0))).T).max(axis=1, initial=0)
    return float(np.quantile(largest, level))
