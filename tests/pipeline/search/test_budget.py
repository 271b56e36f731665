"""The time of a search: shared by all its commands, and what is given up to keep to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.comparison.point import Point
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import PlannedRun, System
from pipeline.runs.run import Epoch
from pipeline.search.budget import Budget, BudgetCheck, BudgetOverError
from pipeline.search.pruning import BehindError, Halving
from pipeline.search.study import Study
from pipeline.search.unfinished import unfinished_studies
from tests.conftest import debug_config


def study_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> tuple[RunConfig, Study]:
    config = debug_config(folder, f"data.prepared={few[0].data.prepared}", *overrides)
    return config, Study(config, few[1])


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_counts_the_time_of_all_commands(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config, study = study_in(tmp_path, few, 'search={preset="best",budget="1m"}')
    clock = Clock()
    first = Budget(study, config.search.seconds, clock.now, clock)
    clock.now += 25
    first.note()
    clock.now += 3
    first.note()  # within a few seconds nothing is noted
    assert (first.left, study.spent) == (32, 25)
    first.note(at_once=True)
    assert study.spent == 28
    second = Budget(study, config.search.seconds, clock.now, clock)
    clock.now += 30
    assert (second.left, second.is_over) == (2, False)
    clock.now += 3
    assert (second.left, second.is_over) == (0, True)
    second.note(at_once=True)
    with pytest.raises(BudgetOverError):
        BudgetCheck(second).on_epoch(planned(config), epoch(0, 0.5))
    _, same = study_in(tmp_path, few, 'search={preset="best",budget="2m"}')
    assert same.fingerprint == study.fingerprint
    assert Budget(same, 120.0, clock.now, clock).left == 120 - 28 - 33


def test_a_study_keeps_few_places_ahead_and_waits_for_nothing_once_it_has_ended(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    config, study = study_in(tmp_path, few, 'search={preset="best",workers=1}')
    study.fill()
    waiting = len(study._waiting())
    assert waiting < 20 < study.places
    with study.take() as trial:
        assert trial is not None
        study.space.choose(trial)
        study.fill()
        assert len(study._waiting()) == waiting, "one for each that is begun"
        assert study.chosen_now()[trial.number]["method"] == "uniform"
        coming = study.next_choices()
        assert len(coming) == sum(map(bool, study.space.prescribed())) - 1
        assert {
            "method": "uniform",
            "course": "steady",
            "tables": "rowwise_adagrad",
            "train.table_lr": 0.05,
        } in coming
    assert few[1].fingerprint in unfinished_studies(config)
    study.end(ended=True)
    assert not unfinished_studies(config)
    study.end(ended=False)
    assert few[1].fingerprint in unfinished_studies(config)


def test_an_ordinary_study_depends_on_nothing_new(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    _, plain = study_in(tmp_path, few)
    _, limited = study_in(tmp_path, few, "search.budget=1m")
    assert plain.fingerprint == limited.fingerprint
    known = plain._study().user_attrs["gradops.depends_on"]
    assert not [
        key for key in known if key.startswith("space") or key in ("search.preset", "search.budget", "train.ids")
    ]


def planned(config: RunConfig, **train: object) -> PlannedRun:
    changed = config.changed({f"train.{key}": value for key, value in train.items()})
    return PlannedRun(System("trial 9"), changed)


def epoch(number: int, auc: float, seconds: float = 1.0) -> Epoch:
    val = {task: {"auc": auc} for task in ("income", "marital", "education")}
    return Epoch(number, number + 1, seconds, 1e-3, {}, val, {})


Judged = Callable[[], None]


def test_the_worse_half_is_given_up_after_1_2_4_epochs(few: tuple[RunConfig, Prepared]) -> None:
    run = planned(few[0], epochs=20, schedule="constant")
    curves = [[0.5 + i / 100] * 6 for i in range(5)]
    points = [Point(i, "uniform", {}, curves=[c], course="constant", state="pruned") for i, c in enumerate(curves)]
    rule = Halving(points, 0, math.inf)
    rule.on_epoch(run, epoch(0, 0.52))
    with pytest.raises(BehindError, match=r"after epoch 2 of seed 0, median 0\.5200"):
        rule.on_epoch(run, epoch(1, 0.519))
    assert rule.curves == [[0.52, pytest.approx(0.519)]]
    Halving(points, 0, math.inf).on_epoch(run, epoch(2, 0.1))  # after three epochs nobody looks
    Halving(points[:4], 0, math.inf).on_epoch(run, epoch(0, 0.1))
    cycle = planned(few[0], epochs=8, schedule="one_cycle")
    cycles = [Point(i, "uniform", {}, curves=[c], course="one_cycle of 8") for i, c in enumerate(curves)]
    Halving(cycles, 0, math.inf).on_epoch(cycle, epoch(3, 0.1))  # half of its schedule is to come
    Halving(points, 0, math.inf).on_epoch(cycle, epoch(0, 0.1))  # another course
    five = planned(few[0], epochs=6, schedule="one_cycle")
    with pytest.raises(BehindError, match="after epoch 4"):
        Halving(
            [Point(i, "uniform", {}, curves=[c], course="one_cycle of 6") for i, c in enumerate(curves)], 0, 9e9
        ).on_epoch(five, epoch(3, 0.1))


def test_a_run_may_take_its_share_of_the_budget(few: tuple[RunConfig, Prepared]) -> None:
    cycle = planned(few[0], epochs=8, schedule="one_cycle")
    with pytest.raises(BehindError, match="80 s are more than the 60 s"):
        Halving([], 0, 60).on_epoch(cycle, epoch(0, 0.5, seconds=10))
    steady, rule = planned(few[0], epochs=20, schedule="constant"), Halving([], 0, 45)
    for number in range(3):
        rule.on_epoch(steady, epoch(number, 0.5, seconds=10))
    with pytest.raises(BehindError, match="50 s are more"):
        rule.on_epoch(steady, epoch(3, 0.5, seconds=10))
