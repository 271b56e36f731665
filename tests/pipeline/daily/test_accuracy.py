"""Days of few positives: chance alone makes no day suspect, wrong labels do, and a poor model is called one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.daily.accuracy import Accuracy, Beside, day_check, is_chance, model_check, standard_errors
from pipeline.daily.checks import least_ratio
from pipeline.daily.history import History
from pipeline.daily.record import DayRecord
from pipeline.data.drift import Positives
from pipeline.evaluation.intervals import auc_influence
from pipeline.training.resolve import load_config
from tests.pipeline.daily.daily_shop import daily, open_shop, record

MOST = 0.05  # as the default of `max_auc_drop`
DAYS, NORMAL = 9, 0.85  # a distance of the classes' normal scores whose AUC is 0.73


def scored(draw: np.random.Generator, positives: int, shift: float) -> Accuracy:
    """A day of normal scores: as many positives, and 1,200 rows in all."""
    labels = np.zeros((1200, 1), dtype=np.float32)
    labels[:positives] = 1
    scores = (draw.normal(size=(1200, 1)) + shift * labels).astype(np.float32)
    (error,) = standard_errors(labels, scores, None)
    return Accuracy(auc_influence(labels[:, 0], scores[:, 0])[0], error)


def week(seed: int) -> list[Beside]:
    """Days of one distribution with 40 to 90 positives each, and models that differ a little; each day is kept."""
    draw = np.random.default_rng(seed)
    found: list[Beside] = []
    for _ in range(DAYS):
        shift = NORMAL + draw.normal() * 0.05
        day, before = (scored(draw, int(draw.integers(40, 91)), shift) for _ in range(2))
        found.append(Beside("buy", day, before, [one.day for one in found]))
    return found


def test_days_of_one_distribution_are_hardly_ever_suspect() -> None:
    days = [one for seed in range(100) for one in week(seed)]
    refused = [one for one in days if not day_check(one, MOST, tasks=2).passed]
    assert len(refused) <= 0.005 * len(days), "900 days; less than one in a year, where 2 % were asked for"
    assert sum(is_chance(one, tasks=2) for one in days) <= 0.01 * len(days)
    by_value = [one for one in days if one.day.auc < one.before.auc - MOST]
    assert len(by_value) > 0.1 * len(days), "the rule without sampling errors called so many suspect"


def test_a_day_with_swapped_labels_is_suspect() -> None:
    days = [one for seed in range(20) for one in week(seed)]
    swapped = [replace(one, day=replace(one.day, auc=1 - one.day.auc)) for one in days]
    missed = [one for one in swapped if day_check(one, MOST, tasks=2).passed]
    assert len(missed) <= 0.01 * len(days), "none of 900 with seeds up to 100"
    assert all(model_check(one, 1000, tasks=2).passed for one in swapped if one.before.auc > 0.65)


def test_a_day_with_labels_of_chance_is_mostly_suspect_and_always_with_more_rows() -> None:
    draw = np.random.default_rng(0)
    days = [replace(one, day=scored(draw, 65, shift=0.0)) for seed in range(20) for one in week(seed)]
    suspect = [one for one in days if not day_check(one, MOST, tasks=2).passed]
    assert len(suspect) > 0.8 * len(days)
    rich = Accuracy(0.73, 0.004)
    assert not day_check(Beside("buy", Accuracy(0.5, 0.004), rich, [rich] * 5), MOST, tasks=2).passed


def test_one_lucky_day_makes_the_next_one_no_worse() -> None:
    usual = [Accuracy(auc, 0.035) for auc in (0.72, 0.74, 0.73, 0.71)]
    after_luck = Beside("buy", Accuracy(0.70, 0.035), before=Accuracy(0.86, 0.03), kept=[*usual, Accuracy(0.86, 0.03)])
    assert day_check(after_luck, MOST, tasks=1).passed
    assert day_check(replace(after_luck, day=Accuracy(0.66, 0.004), before=Accuracy(0.86, 0.004)), MOST, 1).passed
    assert not day_check(replace(after_luck, day=Accuracy(0.3, 0.035)), MOST, tasks=1).passed


def test_many_rows_leave_the_limit_as_it_is() -> None:
    exact = Beside("buy", Accuracy(0.70, 1e-5), before=Accuracy(0.7499, 1e-5))
    assert day_check(exact, MOST, tasks=1).passed
    found = day_check(replace(exact, before=Accuracy(0.7502, 1e-5)), MOST, tasks=1)
    assert not found.passed
    assert found.found == "AUC 0.7000 ± 0.0000, 0.7502 ± 0.0000 on the day before"
    assert found.rule == "with 95% confidence at most 0.05 lower than on either"


def test_days_that_differ_by_nature_widen_what_is_expected() -> None:
    """Weekends have another AUC: the mean of the kept days alone would be sure of itself."""
    weekdays = [Accuracy(auc, 0.002) for auc in (0.8, 0.79, 0.81, 0.68, 0.69, 0.8, 0.81)]
    weekend = Beside("buy", Accuracy(0.68, 0.002), before=Accuracy(0.80, 0.002), kept=weekdays)
    assert day_check(weekend, MOST, tasks=1).passed
    assert not day_check(replace(weekend, kept=[Accuracy(0.8, 0.002)] * 7), MOST, tasks=1).passed


@pytest.mark.parametrize(("day", "before"), [(0.39, 0.41), (0.52, 0.5), (0.54, 0.55), (0.5, 0.55)])
def test_a_model_at_chance_is_at_fault_not_the_day(day: float, before: float) -> None:
    one = Beside("buy", Accuracy(day, 0.035), Accuracy(before, 0.035), [Accuracy(0.75, 0.03)] * 4)
    judged, model = day_check(one, MOST, tasks=1), model_check(one, 100, tasks=1)
    assert judged.passed, "the days that were judged by better models do not make this one suspect"
    assert not model.passed
    assert "after 100 steps" in model.found
    assert "train it longer (`train.epochs`, a smaller `train.batch_size`" in model.rule


def test_a_model_that_only_one_day_shows_to_be_good_is_judged() -> None:
    one = Beside("buy", Accuracy(0.3, 0.03), Accuracy(0.75, 0.03))
    assert model_check(one, 100, tasks=1).passed
    assert not day_check(one, MOST, tasks=1).passed


@pytest.mark.parametrize("positives", [1, 2, 5])
def test_a_few_positives_on_top_are_no_certainty(positives: int) -> None:
    labels = np.zeros((100, 1), dtype=np.float32)
    labels[:positives] = 1
    (error,) = standard_errors(labels, 1 - np.arange(100, dtype=np.float32)[:, None] / 100, None)
    assert error > 0.02


def test_rows_of_one_user_count_as_one() -> None:
    draw = np.random.default_rng(0)
    labels: npt.NDArray[np.float32] = (np.arange(400)[:, None] < 60).astype(np.float32)
    scores = (draw.normal(size=(400, 1)) + labels).astype(np.float32)
    each, user = np.arange(400), np.arange(400).repeat(4)
    (alone,) = standard_errors(labels, scores, each)
    (together,) = standard_errors(labels.repeat(4, axis=0), scores.repeat(4, axis=0), user)
    assert together == pytest.approx(alone, rel=0.1), "not half as large"


@pytest.mark.parametrize(
    ("day", "training", "suspect"),
    [(12, 60, False), (14, 60, False), (40, 60, True), (600, 1200, True), (300, 1300, False), (0, 20, False)],
)
def test_the_share_of_positives_counts_as_far_as_chance_rules_it_out(day: int, training: int, *, suspect: bool) -> None:
    """1,000 rows on the day, 10,000 in training; twice the share is allowed."""
    ratio = least_ratio(Positives(day, 1_000), Positives(training, 10_000), sure=2.6)
    assert (ratio > 2) == suspect


def test_the_kept_days_are_those_of_the_window_that_later_days_read() -> None:
    open_shop(0)
    history = History(load_config(Path("shop.toml")))
    first = date(2026, 1, 1)
    untrained = [{"name": "training of buy", "passed": False, "found": "", "rule": ""}]
    days = ["promoted", "suspect", "refused", "admitted", "promoted"]
    for number, status in enumerate(days):
        aucs = {"auc": {"buy": 0.7 + number / 100}, "auc_error": {"buy": 0.01} if number else {}}
        history.save(DayRecord.model_validate({"day": first + timedelta(number), "status": status, **aucs}))
    poor = {"day": first + timedelta(5), "status": "refused", "auc": {"buy": 0.4}, "checks": untrained}
    history.save(DayRecord.model_validate(poor))
    assert history.kept("buy", first + timedelta(6), 28) == [
        Accuracy(0.7),  # a record of before there was an error
        Accuracy(0.72, 0.01),
        Accuracy(0.74, 0.01),
    ]
    assert history.kept("buy", first + timedelta(6), 5) == [Accuracy(0.72, 0.01), Accuracy(0.74, 0.01)]
    assert history.kept("buy", first + timedelta(4), 28) == [Accuracy(0.7), Accuracy(0.72, 0.01)]
    assert history.kept("wish", first + timedelta(6), 28) == []


@pytest.mark.slow
def test_a_job_whose_model_has_learnt_nothing_refuses_the_model_and_keeps_the_day() -> None:
    open_shop(4)
    code, out, _ = daily(3, "--set", "train.max_steps=1", "--set", "train.lr=1e-5")
    assert code == 3
    assert record(3).status == "refused"
    assert "2026-01-03 refused: " in out
    assert "no version serves yet: the first one that passes the gate will" in out
    assert "training of buy: AUC 0." in out
    assert "after 1 steps" in out
    assert record(3).auc_error["buy"] > 0.01
    assert daily(4)[0] == 0
    assert record(4).left_out == {}
