"""Intervals against their definition: DeLong's formula, a plain bootstrap, and how often they hold the truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from numpy.random import Generator
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.intervals import Array, Difference, Estimate, Floats, auc_influence, critical_value, intervals

NORMAL = NormalDist()


def rows(generator: Generator, number: int, systems: int = 2) -> tuple[Floats, Floats]:
    """Labels of one task, some unknown, and correlated scores with ties."""
    label_N = generator.integers(0, 2, number).astype(np.float64)
    common_N = generator.normal(size=number) + label_N
    scores_NK = np.stack([(common_N + generator.normal(size=number)).round(1) for _ in range(systems)], axis=1)
    label_N[generator.random(number) < 0.1] = np.nan
    return label_N, scores_NK


def delong(label_N: Array, scores_NK: Array) -> Floats:
    """The paper's covariance of two AUCs, by its definition: every positive beside every negative."""
    placements = []
    for score_N in scores_NK.T:
        positive, negative = score_N[label_N == 1], score_N[label_N == 0]
        wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        placements.append((wins.mean(axis=1), wins.mean(axis=0)))
    of_positives, of_negatives = (np.cov(np.stack(side)) for side in zip(*placements, strict=True))
    return np.asarray(of_positives / (label_N == 1).sum() + of_negatives / (label_N == 0).sum())


def test_auc_and_covariance_are_those_of_scikit_learn_and_delong() -> None:
    label_N, scores_NK = rows(np.random.default_rng(0), 300)
    known_N = ~np.isnan(label_N)
    estimate = Estimate.of(label_N[:, None], [scores_NK])
    for k, score_N in enumerate(scores_NK.T):
        assert estimate.auc_SMT[0, k, 0] == pytest.approx(roc_auc_score(label_N[known_N], score_N[known_N]), abs=1e-12)
    assert estimate.mean_KK == pytest.approx(delong(label_N, scores_NK), rel=1e-9)
    assert estimate.each_KK == pytest.approx(estimate.mean_KK, rel=1e-12), "of one seed both are the same"


def test_a_plain_bootstrap_over_the_rows_says_the_same_of_several_tasks() -> None:
    generator = np.random.default_rng(1)
    pairs = [rows(generator, 500) for _ in range(2)]
    labels_NT = np.stack([label_N for label_N, _ in pairs], axis=1)
    # Tasks that lean on each other: what one row does to both AUCs at once is not nothing.
    labels_NT[:, 1] = np.where(generator.random(500) < 0.8, labels_NT[:, 0], labels_NT[:, 1])
    scores_NK = np.concatenate([pairs[0][1], pairs[0][1] + pairs[1][1]], axis=1)[:, [0, 2, 1, 3]]
    resampled = []
    for _ in range(400):
        drawn = generator.integers(0, 500, 500)
        aucs = [auc_influence(labels_NT[drawn, k % 2], scores_NK[drawn, k])[0] for k in range(4)]
        resampled.append((aucs[2] + aucs[3] - aucs[0] - aucs[1]) / 2)
    low, high = intervals(Estimate.of(labels_NT, [scores_NK]), [Difference(1, 0, None)])[1:, 0]
    ours = (high - low) / (2 * NORMAL.inv_cdf(0.975))
    assert ours == pytest.approx(np.std(resampled), rel=0.12)  # three of its own standard errors


def simulated(generator: Generator, truth_M: Floats, seeds: int, spread_M: Floats, number: int) -> Estimate:
    """Systems whose true AUC is known, moved by a seed, by a row, and by both together."""
    label_N = (np.arange(number) % 2).astype(np.float64)
    row_N = generator.normal(size=number)
    moved_SM = truth_M + spread_M * generator.normal(size=(seeds, len(truth_M)))
    own_SNM = generator.normal(size=(seeds, number, len(truth_M)))
    noise_SNM = np.sqrt(0.7) * row_N[:, None] + np.sqrt(0.3) * own_SNM
    scores = noise_SNM + label_N[:, None] * moved_SM[:, None, :]
    return Estimate.of(label_N[:, None], scores)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.0), (2, 0.3), (5, 0.05), (5, 0.3)])
def test_all_intervals_hold_at_once_as_often_as_they_say(seeds: int, spread: float) -> None:
    generator = np.random.default_rng([seeds, int(100 * spread)])
    truth_M = np.array([1.0, 1.0, 1.1, 0.9, 1.2])
    # Of scores N(0, 1) and N(d, 1) with d normal over the seeds, the mean AUC is that of a wider normal.
    true_M = ndtr(truth_M / np.sqrt(2 + spread**2))
    differences = [Difference(m, 0, 0) for m in range(1, 5)]
    held = 0
    for _ in range(120):
        estimate = simulated(generator, truth_M, seeds, np.full(5, spread), 200)
        # Fewer draws than usual: the critical value is off by 0.05 of 2.4, in a part of the time.
        _, low_C, high_C = intervals(estimate, differences, draws=2000)
        held += bool(((low_C <= true_M[1:] - true_M[0]) & (true_M[1:] - true_M[0] <= high_C)).all())
    assert held / 120 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 120)


def test_more_comparisons_make_wider_intervals_but_dependent_ones_less_so() -> None:
    alone = NORMAL.inv_cdf(0.975)
    assert critical_value(np.eye(1), 0.95) == pytest.approx(alone, abs=0.02)
    assert critical_value(np.ones((20, 20)), 0.95) == pytest.approx(alone, abs=0.02)
    assert critical_value(np.eye(20), 0.95) == pytest.approx(NORMAL.inv_cdf((1 + 0.95 ** (1 / 20)) / 2), abs=0.02)


def test_rows_of_one_user_are_one() -> None:
    """Every row twice under its user says no more than every row once."""
    label_N, scores_NK = rows(np.random.default_rng(2), 400)
    once = Estimate.of(label_N[:, None], [scores_NK])
    twice = Estimate.of(np.tile(label_N, 2)[:, None], [np.tile(scores_NK, (2, 1))], unit_N=np.tile(np.arange(400), 2))
    assert twice.mean_KK == pytest.approx(once.mean_KK, rel=0.01)  # a class less one row, beside a class


def test_a_sample_of_the_rows_stands_for_all_of_them() -> None:
    label_N, scores_NK = rows(np.random.default_rng(3), 4000)
    whole = Estimate.of(label_N[:, None], [scores_NK])
    part = Estimate.of(label_N[::4, None], [scores_NK[::4]], share=0.25)
    assert part.mean_KK == pytest.approx(whole.mean_KK, rel=0.15)


def test_equal_systems_differ_by_nothing_and_a_single_class_by_nobody_knows() -> None:
    label_N, scores_NK = rows(np.random.default_rng(4), 200)
    labels_NT = np.stack([label_N, np.ones(200)], axis=1)
    scores_SNK = [scores_NK[:, [k, k, k, k]] for k in (0, 1)]
    wanted = [Difference(1, 0, task) for task in (0, 1, None)]
    ends = intervals(Estimate.of(labels_NT, scores_SNK), wanted)
    assert ends[:, 0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(ends[:, 1:]).all()


def test_systems_that_are_alike_leave_the_intervals_of_others_as_they_are() -> None:
    """Three tasks, and two systems whose scores are those of the baseline: `static` is `uniform`, say."""
    generator = np.random.default_rng(0)
    labels_NT = (generator.random((400, 3)) < 0.3).astype(np.float64)
    scores = [labels_NT + generator.normal(0, 1.5, (400, 3)) for _ in range(3)]
    tasks = (0, 1, 2, None)

    def found(systems: list[Floats]) -> Floats:
        wanted = [Difference(system, 0, task) for system in range(1, len(systems)) for task in tasks]
        return intervals(Estimate.of(labels_NT, [np.concatenate(systems, axis=1)]), wanted)

    apart, beside = found(scores), found([*scores, scores[0], scores[0] * 2])
    assert not beside[:, 8:].any(), "no difference, and no doubt of it"
    # Drawn anew, since the matrix is another one; the simulated value is off by less than 0.01.
    assert beside[:, :8] == pytest.approx(apart, abs=2e-3)
    assert np.isfinite(beside).all()


def test_a_system_of_one_model_beside_several_seeds_has_no_variation_of_its_own() -> None:
    generator = np.random.default_rng(5)
    estimate = simulated(generator, np.array([1.0, 1.0, 1.0]), 4, np.array([0.3, 0.3, 0.0]), 2000)
    fixed = estimate.auc_SMT.copy()
    fixed[:, 2] = fixed[0, 2]
    beside = Estimate(fixed, estimate.mean_KK, estimate.each_KK)
    _, low_C, high_C = intervals(beside, [Difference(1, 0, 0), Difference(2, 0, 0)])
    width_C = high_C - low_C
    assert width_C[1] < width_C[0]
