"""Intervals and fronts by hand, and tables of invented runs."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.trial import families as f
from benchmarks.trial.datasets import CENSUS_DATA, VISITS_DATA, clicks
from benchmarks.trial.fronts import Separate, Together, trials
from benchmarks.trial.intervals import difference
from benchmarks.trial.overview import overview, pairs, powers
from benchmarks.trial.plan import Plan
from benchmarks.trial.records import Record, Store
from benchmarks.trial.tables import all_trials, chosen_points, missing
from tests.benchmarks.trial.conftest import AddTrials


def test_a_paired_interval_is_students_over_the_seeds() -> None:
    one = {seed: [Record(0, seed, 1.0, [], [0.8 + seed / 100, 0.6])] for seed in (1, 2, 3)}
    other = {seed: [Record(0, seed, 1.0, [], [0.8, 0.6])] for seed in (1, 2, 3)}
    found = difference(one, other)
    # Means over two tasks differ by 0.005, 0.010 and 0.015: sd 0.005, and the quantile of t with 2 degrees is 4.3027.
    assert (found.mean, found.half) == pytest.approx((0.01, 4.3027 * 0.005 / 3**0.5), rel=1e-4)
    assert found.mark == ""
    assert difference(one, other, task=0).mean == pytest.approx(0.02)
    assert np.isnan(difference(one, other, task=1).mean) is np.False_


def test_where_rows_stay_the_same_their_variance_is_added() -> None:
    one = {seed: [Record(0, seed, 1.0, [], [0.8], blocks=[[1000, -1000]])] for seed in (1, 2)}
    other = {seed: [Record(0, seed, 1.0, [], [0.7], blocks=[[0, 0]])] for seed in (1, 2)}
    # The seeds agree; two blocks of 0.001 have the variance 2 * (1e-6 + 1e-6), and t with 1 degree is 12.7062.
    assert difference(one, other).half == pytest.approx(12.7062 * 2e-3, rel=1e-4)
    assert difference(one, other, task=0).half == pytest.approx(12.7062 * 2e-3, rel=1e-4)


VAL_NT = np.array([[0.8, 0.6], [0.6, 0.8], [0.7, 0.5], [0.8, 0.6]])
TEST_NT = np.array([[0.7, 0.6], [0.6, 0.7], [0.9, 0.9], [0.7, 0.6]])


def test_a_front_is_chosen_by_validation_and_measured_by_test() -> None:
    found = Together(VAL_NT, TEST_NT, ((0,), (1,)))
    assert found.front(np.arange(4)).tolist() == [0, 1, 3]
    assert found.volume == pytest.approx(0.2 * 0.1 + 0.1 * 0.1)
    assert found.front(np.array([2])).tolist() == [2]
    assert found.best(np.array([1, 2])) == pytest.approx(0.65)


def test_the_front_of_separate_models_is_each_tasks_best() -> None:
    found = Separate(VAL_NT, TEST_NT, ((0,), (1,)))
    assert found.volume == pytest.approx(0.2 * 0.2)  # the first trial's first task and the second's second
    assert found.best(np.array([0, 2])) == pytest.approx(0.65)


def test_halves_of_the_trials_have_half_of_the_trials() -> None:
    found = Together(np.array([[0.9], [0.8]]), np.array([[0.7], [0.9]]), ((0,),))
    # Of two trials a half is either of them, so that the mean is that of both.
    assert {*found.volumes_of_half().round(6)} == {0.2, 0.4}
    assert found.bests_of_half().mean() == pytest.approx(0.8, abs=0.03)


def test_a_failed_trial_is_at_chance() -> None:
    records = [Record(0, 0, 1.0, [0.9] * 3, [0.8] * 3), Record(1, 0, 1.0, failed="DivergedError")]
    assert trials(CENSUS_DATA, records).val_NT.tolist() == [[0.9] * 3, [0.5] * 3]


def test_tables_have_a_row_a_finished_family(store: Store, add_trials: AddTrials) -> None:
    plan = Plan(store)  # of all 20 trials
    for family, gain in ((f.UNIFORM, 0.0), (f.STATIC, 0.01), (f.STATIC_POWER, 0.02)):
        add_trials(family, [0.5 + trial / 100 for trial in range(f.TRIALS)])
        for seed in plan.seeds:
            aucs = [0.8 + gain + seed / 1e3] * 3
            plan.store.add(CENSUS_DATA, family, Record(f.TRIALS - 1, seed, 1.0, aucs, aucs, blocks=[[0] * 20] * 3))
    rlw = f.FAMILIES["rlw"]
    add_trials(rlw, [0.5 + trial / 100 for trial in range(f.TRIALS)])
    for seed in plan.seeds:
        ended = Record(f.TRIALS - 1, seed, 1.0, [0.8] * 3, [0.8] * 3)
        failed = Record(f.TRIALS - 1, seed, 1.0, failed="no weights")
        plan.store.add(CENSUS_DATA, rlw, ended if seed > 2 else failed)
    points, lines = list(chosen_points(plan, CENSUS_DATA)), list(all_trials(plan, CENSUS_DATA))
    assert [line.split(" | ")[0][2:] for line in points[2:]] == ["`static_power`", "`static`", "`uniform`", "`rlw`"]
    assert "failed on 2 of 5" in points[-1]
    assert "+0.0200 [+0.0200, +0.0200]▲" in points[2]
    assert len(lines) == 2 + 4
    (line,) = (line for line in missing(plan) if "`census`" in line)
    assert "`pcgrad`" in line
    assert "`uniform`" not in line
    assert "`rlw`" not in line


def test_the_overview_has_a_column_a_data_set_and_what_failed(store: Store) -> None:
    plan = Plan(store, trials=1)
    for dataset in (CENSUS_DATA, VISITS_DATA):
        for family, auc in ((f.UNIFORM, 0.8), (f.STATIC, 0.81), (f.STATIC_POWER, 0.82)):
            for seed in (0, *plan.seeds):
                lost = seed == 5 and family == f.STATIC and dataset is VISITS_DATA
                ended = Record(0, seed, 1.0, [auc] * 3, [auc] * 3, blocks=[[0] * 20] * 3)
                store.add(dataset, family, Record(0, seed, 1.0, failed="no weights") if lost else ended)
    assert list(overview(plan, [CENSUS_DATA])) == []  # the main data alone have tables of their own
    assert list(overview(plan, [CENSUS_DATA, clicks(1), VISITS_DATA])) == [
        "| family | `census` | `visits` |",
        "| --- | --- | --- |",
        "| `uniform` | -0.0200▼ | -0.0200▼ |",
        "| `static` | -0.0100▼ | failed |",
        "| `static_power` | tuned | tuned |",
    ]


def test_powers_are_compared_at_equal_rates(store: Store, add_trials: AddTrials) -> None:
    add_trials(f.UNIFORM, [0.6 + trial / 100 for trial in range(f.TRIALS)])
    assert list(powers(Plan(store), [CENSUS_DATA])) == []
    # Test is 1 less half of validation: the trial that fails has none, and the last one is 0.005 better.
    add_trials(f.STATIC_POWER, [0.0, *(0.6 + trial / 100 for trial in range(1, f.TRIALS - 1)), 0.78])
    heads, _, *lines = powers(Plan(store), [CENSUS_DATA, VISITS_DATA])
    assert heads == "| power | `census` |"
    found = dict(line.strip("| ").split(" | ") for line in lines)
    power = [f"{f.STATIC_POWER.power(trial):+.2f}" for trial in range(f.TRIALS)]
    assert list(found) == sorted(power, key=float)
    assert [found[name] for name in power] == ["failed", *["+0.0000"] * (f.TRIALS - 2), "+0.0050"]


def test_the_configs_rule_is_compared_at_equal_rates(store: Store, add_trials: AddTrials) -> None:
    add_trials(f.UNIFORM, [0.6] * f.TRIALS)
    assert list(pairs(Plan(store), [CENSUS_DATA])) == []
    # Test is 1 less half of validation.
    add_trials(f.SQRT_INVERSE_RATE, [0.0, 0.5, 0.7, *[0.58] * (f.TRIALS - 3)])
    _, _, *lines = pairs(Plan(store), [CENSUS_DATA, VISITS_DATA])
    assert lines == ["| `census` | 19 | 18 | -0.0500 | +0.0100 | +0.0500 |"]
