"""The sampler of the preset, on a function of many dimensions whose best point is known."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from pipeline.search.near_best import NearBestSampler
from pipeline.search.storage import quiet

PICKS, NUMBERS = 20, 4
USUAL: dict[str, Any] = {f"pick{i}": "a" for i in range(PICKS)} | {f"number{i}": 0.01 for i in range(NUMBERS)}
GOOD = {f"pick{i}" for i in range(0, PICKS, 4)}  # dimensions whose alternative `b` is better than `a`; `c` is bad


def value(trial: Trial) -> float:
    """Up to 5 for the good alternatives, and 0 for numbers at 0.1; under `pick0` there is one dimension more."""
    total = 0.0
    for name, usual in USUAL.items():
        if usual == "a":
            chosen = trial.suggest_categorical(name, ["a", "b", "c"])
            total += {"a": 0.0, "b": 1.0 if name in GOOD else -1.0, "c": -2.0}[str(chosen)]
        elif name != "number3" or trial.params["pick0"] == "b":
            total -= abs(trial.suggest_float(name, 1e-3, 1.0, log=True) - 0.1)
    return total


@quiet()
def finished(sampler_of: Callable[[int], BaseSampler], trials: int) -> optuna.Study:
    """A study of the config as it is written, one change each, and the sampler's points."""
    study = optuna.create_study(direction="maximize")
    singles: list[dict[str, Any]] = [{}, *({f"pick{i}": "b"} for i in range(PICKS))]
    for number in range(trials):
        fixed = {**USUAL, **singles[number]} if number < len(singles) else {}
        if fixed:
            study.enqueue_trial(fixed)
        study.sampler = sampler_of(number)
        study.optimize(value, n_trials=1)
    return study


def near(seed: int) -> BaseSampler:
    return NearBestSampler(seed, USUAL)


def tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, group=True)


def best(maker: Callable[[int], BaseSampler], start: int) -> float:
    """The best value after twenty points of a sampler."""
    return finished(lambda number: maker(1000 * start + number), 41).best_value


def test_changes_that_helped_alone_are_tried_together_and_found_faster_than_by_tpe() -> None:
    bests = {maker: fmean(best(maker, start) for start in range(5)) for maker in (near, tpe)}
    assert bests[near] > 4.5 > bests[tpe] + 1


@quiet()
def test_a_point_depends_on_its_seed_and_on_the_finished_points_alone() -> None:
    study = finished(near, 30)
    chosen = []
    for _ in range(2):
        copy = optuna.create_study(direction="maximize", sampler=near(7))
        copy.add_trials(study.get_trials())
        copy.optimize(value, n_trials=1)
        chosen.append(copy.trials[-1].params)
    assert chosen[0] == chosen[1]


def test_most_points_change_few_dimensions_of_a_good_one() -> None:
    study = finished(near, 80)
    later = study.trials[PICKS + 1 :]
    assert fmean(changes(trial, study.trials[: trial.number]) <= 3 for trial in later) > 0.6
    assert all(1e-3 <= trial.params["number0"] <= 1.0 for trial in later)


def changes(trial: FrozenTrial, before: list[FrozenTrial]) -> int:
    """Number of dimensions in which a trial differs from the most similar one before it."""
    own = {name: value for name, value in trial.params.items() if name != "number3"}
    return min(sum(bool(one.params.get(name) != value) for name, value in own.items()) for one in before)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@quiet()
def test_the_best_point_is_that_of_the_direction(direction: Literal["minimize", "maximize"]) -> None:
    study = optuna.create_study(direction=direction)
    for number in range(40):
        study.sampler = NearBestSampler(number, {"x": 0.5})
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study.best_value < 0.05 if direction == "minimize" else study.best_value > 0.95
