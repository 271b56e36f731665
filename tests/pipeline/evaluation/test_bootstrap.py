"""The paired bootstrap: equal to scikit-learn resample by resample, and to DeLong's closed form where rows are many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.bootstrap import RankedRows, draw_counts, paired
from pipeline.evaluation.intervals import Difference, Estimate, Floats, intervals


def rows(count: int, seed: int, tasks: int = 3) -> tuple[Floats, Floats, Floats]:
    """Labels, some unknown, and the scores of two models that know about as much of them."""
    generator = np.random.default_rng(seed)
    labels_NT = (generator.random((count, tasks)) < [0.4, 0.2, 0.1][:tasks]).astype(np.float64)
    common_NT = labels_NT + generator.normal(size=labels_NT.shape)
    scores = [common_NT + 0.5 * generator.normal(size=labels_NT.shape) for _ in range(2)]
    labels_NT[generator.random(labels_NT.shape) < 0.1] = np.nan
    return labels_NT, scores[0], scores[1]


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 5))
@settings(max_examples=30)
def test_the_auc_of_a_resample_is_scikit_learns(seed: int, count: int, levels: int) -> None:
    """Ties, unknown labels, rows drawn never or often."""
    generator = np.random.default_rng(seed)
    label_N = generator.choice([0.0, 1.0, np.nan], count)
    score_N = generator.integers(0, levels, count) / levels
    weight_CN = generator.integers(0, 3, (4, count))
    found_C = RankedRows.of(label_N, score_N).auc(weight_CN)
    known_N = ~np.isnan(label_N)
    for weight_N, found in zip(weight_CN, found_C, strict=True):
        drawn = known_N & (weight_N > 0)
        if len(np.unique(label_N[drawn])) < 2:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(roc_auc_score(label_N[drawn], score_N[drawn], sample_weight=weight_N[drawn]))


def test_units_are_drawn_whole_and_as_many_as_there_are() -> None:
    unit_N = np.array([0, 0, 1, 2, 2, 2])
    drawn_RN = np.concatenate(list(draw_counts(unit_N, 500, seed=0, at_a_time=20)))
    assert drawn_RN.shape == (500, 6)
    assert (drawn_RN[:, 0] == drawn_RN[:, 1]).all()
    assert (drawn_RN[:, [0, 2, 3]].sum(axis=1) == 3).all()
    # A unit is drawn once on average: 500 draws are off by 0.04 at one standard deviation.
    assert drawn_RN.mean(axis=0) == pytest.approx(np.ones(6), abs=0.2)


@pytest.mark.parametrize("grouped", [False, True])
def test_lower_ends_are_delongs(grouped: bool) -> None:
    labels_NT, ours_NT, theirs_NT = rows(4000, seed=1)
    unit_N = np.arange(4000) // 4 if grouped else None
    found = paired(labels_NT, ours_NT, theirs_NT, unit_N, resamples=2000, level=0.95, seed=0)
    estimate = Estimate.of(labels_NT, [np.concatenate([ours_NT, theirs_NT], axis=1)], unit_N)
    # The lower end of a two-sided interval at 0.9 misses as often as that of a one-sided one at 0.95.
    delta_T, lower_T, _ = intervals(estimate, [Difference(0, 1, task) for task in range(3)], level=0.9)
    assert found.auc_T - found.other_T == pytest.approx(delta_T, abs=1e-9)
    # A quantile of 2000 resamples, and the skewness that DeLong's does not know: within 6 % of the half width.
    assert found.auc_T - found.other_T - found.lower_T == pytest.approx(delta_T - lower_T, rel=0.06)


def test_without_another_model_aucs_are_held_against_a_half() -> None:
    labels_NT, ours_NT, _ = rows(1000, seed=2)
    found = paired(labels_NT, ours_NT, None, resamples=200, level=0.95, seed=0)
    assert (found.other_T == 0.5).all()
    assert (found.lower_T > 0).all()
    chance = paired(labels_NT, np.random.default_rng(0).random(ours_NT.shape), None, resamples=200, level=0.95, seed=0)
    assert not (chance.lower_T > 0).all()


def test_the_same_model_loses_nothing_and_a_task_of_one_class_tells_nothing() -> None:
    labels_NT, ours_NT, _ = rows(300, seed=3)
    labels_NT[:, 1] = 0
    found = paired(labels_NT, ours_NT, ours_NT.copy(), resamples=100, level=0.95, seed=0)
    assert found.lower_T == pytest.approx([0, np.nan, 0], nan_ok=True)
    none = paired(labels_NT[:0], ours_NT[:0], None, resamples=100, level=0.95, seed=0)
    assert np.isnan(none.lower_T).all()


def test_a_resample_without_positives_counts_as_the_worst() -> None:
    labels_NT, scores_NT = np.zeros((50, 1)), np.linspace(0, 1, 50)[:, None]
    labels_NT[-1] = 1
    assert paired(labels_NT, scores_NT, None, resamples=200, level=0.95, seed=0).lower_T[0] <= 0


@pytest.mark.slow
def test_no_task_is_below_its_lower_end_as_often_as_promised() -> None:
    """Two models that are equally good: of 400 samples, all three lower ends are below 0 in 95 %."""
    held = [
        bool((paired(*rows(600, seed), resamples=300, level=0.95, seed=seed).lower_T <= 0).all()) for seed in range(400)
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
