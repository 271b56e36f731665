"""Validation chooses, failures count, candidates are confirmed, and no run is planned twice."""

from __future__ import annotations

import pytest

from benchmarks.trial import families as f
from benchmarks.trial.datasets import CENSUS_DATA, MAIN, REST
from benchmarks.trial.families import FAMILIES, Family
from benchmarks.trial.plan import FIRST, Plan, Stage
from benchmarks.trial.records import Record
from tests.benchmarks.trial.conftest import AddTrials


def test_validation_chooses_and_a_failed_trial_counts(plan: Plan, uniform: Family, add_trials: AddTrials) -> None:
    add_trials(uniform, [0.7, 0.9, 0.0])
    assert plan.chosen(CENSUS_DATA, uniform) == []  # one trial is missing
    plan.store.add(CENSUS_DATA, uniform, Record(3, 0, 2.0, [0.8] * 3, [0.99] * 3))
    assert plan.chosen(CENSUS_DATA, uniform) == [1]
    assert plan.chosen(CENSUS_DATA, uniform, first=1) == [0]


def test_separate_models_are_chosen_task_by_task(plan: Plan) -> None:
    family = FAMILIES["single_task"]
    for task, best in enumerate([2, 0, 3]):
        for trial in range(4):
            plan.store.add(
                CENSUS_DATA, family, Record(trial, 0, 1.0, [0.9 if trial == best else 0.6], [0.5], task=task)
            )
    assert plan.chosen(CENSUS_DATA, family) == [2, 0, 3]
    wanted = list(plan.runs(Stage(CENSUS_DATA, "seeds", [family])))
    assert {(run.trial, run.task) for run in wanted} == {(2, 0), (0, 1), (3, 2)}


def test_separate_models_are_tried_when_every_task_of_every_trial_has_run(plan: Plan) -> None:
    family, trials = FAMILIES["single_task"], Stage(CENSUS_DATA, "trials")
    for trial, task in [(trial, task) for trial in range(4) for task in range(3)]:
        assert not plan.is_done(trials, family)
        plan.store.add(CENSUS_DATA, family, Record(trial, 0, 1.0, [0.9], [0.8], task=task))
    assert plan.is_done(trials, family)


def test_a_finished_run_is_planned_no_more(plan: Plan, uniform: Family, add_trials: AddTrials) -> None:
    trials, seeds = (Stage(CENSUS_DATA, what, [uniform]) for what in ("trials", "seeds"))
    assert len(list(plan.runs(trials))) == 4
    assert not list(plan.runs(seeds))
    add_trials(uniform, [0.7, 0.9, 0.8, 0.6])
    assert not list(plan.runs(trials))
    assert [(run.trial, run.seed) for run in plan.runs(seeds)] == [(1, seed) for seed in plan.seeds]
    assert plan.is_done(trials, uniform)
    assert not plan.is_done(seeds, uniform)


def test_tuned_weights_with_more_trials_count_those_of_the_first(plan: Plan, add_trials: AddTrials) -> None:
    more = Plan(plan.store, trials=6)
    add_trials(f.STATIC, [0.7, 0.9, 0.8, 0.6])
    assert [run.trial for run in more.runs(Stage(CENSUS_DATA, "trials", [f.STATIC_MORE]))] == [4, 5]


@pytest.mark.parametrize("above", [True, False])
def test_candidates_run_on_fresh_seeds_and_again_though_others_failed(
    plan: Plan, add_trials: AddTrials, above: bool
) -> None:
    stage = Stage(CENSUS_DATA, "fresh seeds")
    for family in FIRST:
        gain = 0.01 if above and family.name == "upgrad" else 0.0
        if family.kind == "separate models":
            for task in range(3):
                for trial, seed in [(0, 0), (1, 0), (2, 0), (3, 0), *((0, seed) for seed in plan.seeds)]:
                    plan.store.add(CENSUS_DATA, family, Record(trial, seed, 1.0, [0.9 - trial / 10], [0.8], task=task))
            continue
        add_trials(family, [0.9, 0.8, 0.7, 0.6])
        assert not plan.families(stage)
        for seed in plan.seeds:
            aucs = ([0.9] * 3, [0.8 + gain + seed / 1e4] * 3)
            failed = "DivergedError" if family.name == "pcgrad" and seed == 3 else ""
            plan.store.add(CENSUS_DATA, family, Record(0, seed, 1.0, *(([], []) if failed else aucs), failed=failed))
    names = {family.name for family in plan.families(stage)}
    assert names == ({"upgrad", "uniform", "static"} if above else set())
    assert all(run.seed > 5 for run in plan.runs(stage))
    again = {family.name for family in plan.families(Stage(CENSUS_DATA, "trials", sequence=2))}
    assert again == {"uniform@2", "static@2", "static_power@2"} | ({"upgrad@2"} if above else set())


def test_the_rest_waits_for_the_choice_of_the_best_methods(plan: Plan) -> None:
    stage = Stage(REST[0], "trials")
    assert not plan.families(stage)
    for dataset in MAIN:
        for rank, family in enumerate(f.METHOD_FAMILIES):
            for trial in range(4):
                plan.store.add(dataset, family, Record(trial, 0, 1.0, [0.9 - rank / 100] * 3, [0.5] * 3))
    chosen = [family for family in plan.families(stage) if family in f.METHOD_FAMILIES]
    assert chosen == f.METHOD_FAMILIES[:8]
    assert {family.name for family in f.BASIC} < {family.name for family in plan.families(stage)}
