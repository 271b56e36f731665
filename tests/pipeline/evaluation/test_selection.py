"""A model is chosen by any recorded metric, each with its own direction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluation.catalogue import METRICS
from pipeline.evaluation.multitask import task_metrics
from pipeline.evaluation.selection import Selection

CHOSEN_BY = [metric.name for metric in METRICS if metric.higher_is_better is not None]
GOOD, POOR = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.4, 0.9, 0.2, 0.6])
LABELS = np.array([0.0, 0.0, 1.0, 1.0])


def measured(*scores: np.ndarray) -> dict[str, dict[str, float]]:
    groups = np.zeros(len(LABELS), np.int64)
    tasks = [f"task{i}" for i in range(len(scores))]
    return task_metrics(np.stack([LABELS] * len(scores), axis=1), np.stack(scores, axis=1), tasks, groups)


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_the_better_model_has_the_higher_score(name: str) -> None:
    both, selection = measured(GOOD, POOR), Selection.parse(name)
    one, other = ({"task": both[task]} for task in both)
    assert selection.score(one) > selection.score(other)
    assert selection.is_behind(selection.value(other), selection.value(one))
    assert not selection.is_behind(selection.value(one), selection.value(one))
    assert selection.value(both) == pytest.approx((both["task0"][name] + both["task1"][name]) / 2)
    assert Selection.parse(f"{name}.task1").value(both) == both["task1"][name]


def test_a_value_that_is_not_defined_is_the_worst() -> None:
    selection = Selection.parse("auc")
    assert selection.score({"a": {"auc": math.nan}}) == selection.score({"a": {}}) == -math.inf


def test_other_names_mean_the_recorded_one() -> None:
    assert Selection.parse("log_loss.buy").text == "logloss.buy"
    assert Selection.parse("log_loss.buy").title == "Log loss of buy"
    assert Selection.parse("average_precision").text == "ap"


@pytest.mark.parametrize(
    ("text", "near"), [("auk", "mean `auc`"), ("calibration", "mean `calibration_error`"), ("", "")]
)
def test_an_unknown_name_is_refused_with_all_choices(text: str, near: str) -> None:
    with pytest.raises(ValueError, match="a model is chosen by one of auc, ap, gauc, logloss") as caught:
        Selection.parse(text)
    assert near in str(caught.value)


def test_the_model_of_one_task_is_chosen_by_its_own_metric() -> None:
    selection = Selection.parse("logloss.buy")
    assert selection.among(("click", "buy")) == selection
    assert {selection.among((task,)).text for task in ("click", "buy")} == {"logloss"}
