"""One-sided intervals of the differences between two models' AUCs on the same rows, by a paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.intervals import Array, Floats

Integers = npt.NDArray[np.integer]
WEIGHTS = 1 << 20  # number of weights of resampled rows in memory at a time


@dataclass(frozen=True)
class Paired:
    """AUCs of two models, and lower ends of their differences.

    Args:
        auc_T: The first model's AUCs.
        other_T: The second model's AUCs; a half where there is no second model.
        lower_T: Lower ends of one-sided intervals that hold all true differences at once; NaN for a task with a single
            class.
    """

    auc_T: Floats
    other_T: Floats
    lower_T: Floats


def paired(
    labels_NT: Array,
    scores_NT: Array,
    others_NT: Array | None,
    unit_N: Integers | None = None,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Paired:
    """Differences of AUCs by the bootstrap: each resample draws rows for all tasks and both models together.

    The lower end of a task is its difference less a multiple of its standard deviation over the resamples. The multiple
    is the quantile ``level``, over resamples, of the largest error among the tasks in such deviations.

    Args:
        labels_NT: 0, 1, or NaN where unknown.
        scores_NT: Scores, higher for likelier positives.
        others_NT: Scores of the model to compare with; without it AUCs are compared with a half.
        unit_N: Units of rows that are drawn together, such as those of one user; by default each row is a unit.
        resamples: Number of resamples.
        level: Probability that no true difference is below its lower end.
        seed: Seed of the drawing.
    """
    unit_N = np.arange(len(labels_NT)) if unit_N is None else np.unique(unit_N, return_inverse=True)[1]
    tasks = range(labels_NT.shape[1])
    models = [scores_NT] if others_NT is None else [scores_NT, others_NT]
    ranked = [[RankedRows.of(labels_NT[:, t], model[:, t]) for t in tasks] for model in models]

    def aucs(weight_CN: Integers) -> tuple[Floats, Floats]:
        ours, *theirs = (np.stack([task.auc(weight_CN) for task in model], axis=1) for model in ranked)
        return ours, theirs[0] if theirs else np.full_like(ours, 0.5)

    auc_T, other_T = (found[0] for found in aucs(np.ones((1, len(unit_N)), dtype=np.int32)))
    draws = [ours - theirs for ours, theirs in map(aucs, draw_counts(unit_N, resamples, seed))]
    return Paired(auc_T, other_T, _lower_ends(auc_T - other_T, np.concatenate(draws), level))


def draw_counts(unit_N: Integers, resamples: int, seed: int, at_a_time: int = WEIGHTS) -> Iterator[Integers]:
    """The number of times each row is drawn in each resample, some resamples at a time.

    Args:
        unit_N: Number of each row's unit, from 0 on; a resample draws as many units as there are, with replacement.
        resamples: Number of resamples.
        seed: Seed of the drawing.
        at_a_time: Largest size, resamples x rows, of one returned array.
    """
    generator, units = np.random.default_rng(seed), int(unit_N.max(initial=-1)) + 1
    most = max(1, at_a_time // max(1, len(unit_N)))
    for start in range(0, resamples, most):
        count = min(most, resamples - start)
        drawn_CU = generator.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        times_CU = np.bincount(drawn_CU.ravel(), minlength=count * units).reshape(count, units)
        yield times_CU.astype(np.int32).take(unit_N, axis=1)  # half the bytes to move in all that follows


def _lower_ends(delta_T: Floats, draw_RT: Floats, level: float) -> Floats:
    known_T = ~np.isnan(delta_T)
    # A resample that lacks a class has no AUC: it counts as the worst.
    error_RT = np.nan_to_num(draw_RT, nan=1.0)[:, known_T] - delta_T[known_T]
    spread_T = error_RT.std(axis=0)
    in_spreads_RT = np.divide(error_RT, spread_T, out=np.zeros_like(error_RT), where=spread_T > 0)
    lower_T = np.full(len(delta_T), np.nan)
    if known_T.any():
        lower_T[known_T] = delta_T[known_T] - np.quantile(in_spreads_RT.max(axis=1), level) * spread_T
    return lower_T


@dataclass(frozen=True)
class RankedRows:
    """Rows of one task in the order of one model's scores: sorted once, then weighed for every resample.

    Args:
        negative_M: Rows of negatives, lowest scores first.
        positive_P: Rows of positives.
        below_P: Number of negatives that each positive beats.
        upto_P: Number of negatives that each positive beats or equals.
    """

    negative_M: Integers
    positive_P: Integers
    below_P: Integers
    upto_P: Integers

    @classmethod
    def of(cls, label_N: Array, score_N: Array) -> RankedRows:
        """Rank rows by their scores; labels are 0, 1, or NaN where unknown."""
        negative_M, positive_P = np.flatnonzero(label_N == 0), np.flatnonzero(label_N == 1)
        negative_M = negative_M[np.argsort(score_N[negative_M])]
        ends = (np.searchsorted(score_N[negative_M], score_N[positive_P], side) for side in ("left", "right"))
        return cls(negative_M, positive_P, *ends)

    def auc(self, weight_CN: Integers) -> Floats:
        """The AUC under each set of weights; NaN where a class has weight 0."""
        sum_CM = np.zeros((len(weight_CN), len(self.negative_M) + 1), dtype=weight_CN.dtype)
        np.cumsum(weight_CN.take(self.negative_M, axis=1), axis=1, dtype=weight_CN.dtype, out=sum_CM[:, 1:])
        positive_CP = weight_CN.take(self.positive_P, axis=1)
        beaten_CP = sum_CM.take(self.below_P, axis=1) + sum_CM.take(self.upto_P, axis=1)
        twice_C = np.einsum("cp,cp->c", positive_CP, beaten_CP, dtype=np.float64, casting="unsafe")
        pairs_C = positive_CP.sum(axis=1, dtype=np.float64) * sum_CM[:, -1]
        auc_C = np.full(len(weight_CN), np.nan)
        np.divide(twice_C, 2 * pairs_C, out=auc_C, where=pairs_C > 0)
        return auc_C
