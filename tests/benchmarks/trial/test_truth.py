"""Expected AUCs, deviations and the generated world agree with what labels show."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.trial import world
from benchmarks.trial.truth import deviations, expected_auc
from pipeline.evaluation.intervals import auc_influence


def test_with_certain_labels_the_expected_auc_is_the_auc() -> None:
    generator = np.random.default_rng(0)
    label_N, score_N = (generator.random(200) < 0.3).astype(float), generator.integers(9, size=200) / 9
    assert expected_auc(score_N, label_N) == pytest.approx(roc_auc_score(label_N, score_N), abs=1e-12)


def test_the_expected_auc_is_the_mean_over_drawn_labels() -> None:
    generator = np.random.default_rng(1)
    chance_N, score_N = generator.random(300) ** 3, generator.random(300)
    drawn = [roc_auc_score(generator.random(300) < chance_N, score_N) for _ in range(100)]
    # The standard error over 100 draws is 0.003; the ratio of means in place of the mean of ratios is within it.
    assert expected_auc(score_N, chance_N) == pytest.approx(np.mean(drawn), abs=0.012)


def test_no_score_is_above_the_truth() -> None:
    generator = np.random.default_rng(2)
    chance_N = generator.random(500)
    other_N = chance_N + generator.normal(0, 0.2, 500)
    assert expected_auc(other_N, chance_N) < expected_auc(chance_N, chance_N)


def test_deviations_are_the_influences_of_the_rows_block_by_block() -> None:
    generator = np.random.default_rng(3)
    label_NT, score_NT = (generator.random((100, 2)) < 0.4).astype(float), generator.random((100, 2))
    influences = [auc_influence(label_NT[:, t], score_NT[:, t])[1] for t in range(2)]
    expected = [[round(1e6 * block.sum()) for block in influence_N.reshape(20, 5)] for influence_N in influences]
    assert deviations(label_NT, score_NT) == expected


@pytest.mark.parametrize("conflict", [0.0, 0.5, 1.0])
def test_effects_turn_with_the_conflict(conflict: float) -> None:
    cosine_TT = world.mixing(conflict).T @ world.mixing(conflict)
    assert np.diag(cosine_TT) == pytest.approx(np.ones(8))
    assert cosine_TT[0, -1] == pytest.approx(world.SHARED * np.cos(np.pi * conflict))


def test_labels_have_the_rates_and_the_probabilities_of_the_truth() -> None:
    log = world.World(1).log(0, {"train": 60_000, "val": 10, "test": 10})
    label_NT = log.frame.select(world.TASKS).to_numpy()
    noise_T = np.sqrt((log.chance_NT * (1 - log.chance_NT)).sum(axis=0))
    assert np.all(np.abs((label_NT - log.chance_NT).sum(axis=0)) < 5 * noise_T)
    assert log.chance_NT.mean(axis=0) == pytest.approx(world.RATES, rel=0.1)  # of other rows than those that set it


def test_draws_have_other_rows_of_the_same_world() -> None:
    there, rows = world.World(0.5), {"train": 50, "val": 2, "test": 2}
    one, other, again = (there.log(draw, rows).frame for draw in (0, 1, 0))
    assert not one.equals(other)
    assert one.equals(again)


def test_mixed_angles_have_nothing_to_do_with_rarity() -> None:
    place_T = np.arange(len(world.TASKS))
    assert sorted(world.MIXED) == place_T.tolist()
    assert np.corrcoef(world.MIXED, place_T)[0, 1] == pytest.approx(0, abs=1e-12)
    assert world.mixing(1, is_mixed=True)[:2, 2] == pytest.approx(world.mixing(1)[:2, 0])  # MIXED[2] is 0
