"""Forward selection with replacement, against a naive one by scikit-learn's AUC."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.comparison.boosting_rates import FOLDS, PRIOR, out_of_fold, rates
from pipeline.comparison.greedy_ensemble import cross_fitted_auc, select


def scores(models: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label_N = (generator.random(rows) < 0.3).astype(np.float64)
    noise = generator.uniform(0.5, 4, models)[:, None]
    score_MN = 1 / (1 + np.exp(-(label_N + noise * generator.normal(size=(models, rows)))))
    return label_N, score_MN.astype(np.float32)


@pytest.mark.parametrize(("models", "most", "seed"), [(1, 3, 0), (5, 1, 1), (5, 12, 2), (9, 6, 3)])
def test_it_is_the_naive_one(models: int, most: int, seed: int) -> None:
    label_N, score_MN = scores(models, 400, seed)
    single = [-roc_auc_score(label_N, score_N) for score_N in score_MN]
    start = max(1, most // 2)
    taken = [int(m) for m in np.argsort(single)[:start]]
    history = [roc_auc_score(label_N, score_MN[taken].astype(np.float64).mean(0))]
    for _ in range(most - len(taken)):
        aucs = [roc_auc_score(label_N, score_MN[[*taken, m]].astype(np.float64).mean(0)) for m in range(models)]
        taken.append(int(np.argmax(aucs)))
        history.append(max(aucs))
    best = taken[: len(taken) - len(history) + 1 + int(np.argmax(history))]
    expected = [Counter(best)[m] / len(best) for m in range(models)]
    np.testing.assert_allclose(select(label_N, score_MN, most), expected, rtol=0, atol=1e-15)


def test_unknown_labels_count_for_nothing() -> None:
    label_N, score_MN = scores(4, 300, 5)
    more_N = np.concatenate([label_N, np.full(100, np.nan)])
    more_MN = np.concatenate([score_MN, np.random.default_rng(0).random((4, 100), np.float32)], axis=1)
    np.testing.assert_array_equal(select(more_N, more_MN, 8), select(label_N, score_MN, 8))


def test_it_is_at_least_the_mean_of_the_best_and_labels_of_one_class_choose_the_first() -> None:
    label_N, score_MN = scores(6, 500, 7)
    best = np.argsort([-roc_auc_score(label_N, score_N) for score_N in score_MN])[:5]
    mean = roc_auc_score(label_N, score_MN[best].astype(np.float64).mean(0))
    assert roc_auc_score(label_N, select(label_N, score_MN, 10) @ score_MN) >= mean
    assert select(np.ones(500), score_MN, 3).tolist() == [1, 0, 0, 0, 0, 0]


def test_few_labels_are_not_learnt_by_heart() -> None:
    """Equal models and 30 positives: the mean of many is better on further rows than the few that look best."""
    gains = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        label_N = np.tile(np.repeat([1.0, 0.0], [30, 970]), 2)
        score_MN = label_N + 2 * generator.normal(size=(20, 2000))
        weights = [select(label_N[:1000], score_MN[:, :1000], most) for most in (1, 20)]
        alone, many = (roc_auc_score(label_N[1000:], weight_M @ score_MN[:, 1000:]) for weight_M in weights)
        gains.append(many - alone)
    assert np.mean(gains) > 0.1


def test_the_cross_fitted_auc_is_of_rows_that_did_not_choose() -> None:
    generator = np.random.default_rng(0)
    label_N, noise_MN = generator.integers(0, 2, 400).astype(np.float64), generator.random((40, 400))
    chosen = roc_auc_score(label_N, select(label_N, noise_MN, 10) @ noise_MN)
    halves = slice(200), slice(200, None)
    expected = [
        roc_auc_score(label_N[b], select(label_N[a], noise_MN[:, a], 10) @ noise_MN[:, b])
        for a, b in (halves, halves[::-1])
    ]
    found = cross_fitted_auc(label_N, noise_MN, 10)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)
    assert chosen > 0.6 > found + 0.05, "noise that was chosen looks like more than it is"


def test_rates_are_the_naive_ones_and_out_of_fold_leaves_the_own_rows_out() -> None:
    generator = np.random.default_rng(0)
    id_N = generator.integers(0, 30, 500).astype(np.int32)
    label_N, weight_N = generator.integers(0, 2, 500).astype(np.float64), generator.uniform(0.5, 2, 500)

    def naive(kept_N: np.ndarray, value: int) -> float:
        own = kept_N & (id_N == value)
        overall = np.average(label_N[kept_N], weights=weight_N[kept_N])
        return float(((weight_N * label_N)[own].sum() + PRIOR * overall) / (weight_N[own].sum() + PRIOR))

    found = rates(id_N, label_N, weight_N, 40)
    assert found == pytest.approx([naive(np.ones(500, bool), value) for value in range(40)], rel=1e-6)
    fold_N = np.random.default_rng(3).integers(0, FOLDS, 500)
    own_N = out_of_fold(id_N, label_N, weight_N, 40, seed=3)
    assert own_N == pytest.approx([naive(fold_N != fold_N[n], id_N[n]) for n in range(500)], rel=1e-6)
