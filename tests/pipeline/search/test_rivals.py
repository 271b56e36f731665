"""The sentence on a chosen model beside its rivals."""

from __future__ import annotations

from pipeline.comparison.confidence import Interval
from pipeline.search.rivals import verdict

MEANS = {"single-task": 0.70, "uniform": 0.71, "boosting": 0.72}


def interval(task: str | None, rival: str, delta: float) -> Interval:
    return Interval("ensemble", rival, task, delta, delta - 0.01, delta + 0.01)


def test_a_model_that_is_nowhere_below_says_so_and_names_the_best_rival() -> None:
    found = verdict(0.73, [interval("cart", "boosting", -0.005), interval(None, "uniform", 0.02)], MEANS, [])
    assert found.startswith("On the test rows it is below no rival beyond noise; ")
    assert "mean AUC of 0.7300 is above the 0.7200 of the best rival, `boosting`." in found


def test_every_task_on_which_it_is_below_a_rival_is_named() -> None:
    intervals = [interval("cart", "boosting", -0.02), interval("wish", "uniform", -0.03), interval(None, "uniform", 0)]
    found = verdict(0.715, intervals, MEANS, [])
    assert "cart -0.0200 [-0.0300, -0.0100]▼ against `boosting`, wish -0.0300" in found
    assert "is not above the 0.7200" in found


def test_a_task_with_few_labels_is_named_and_not_judged() -> None:
    found = verdict(0.73, [interval("cart", "boosting", -0.2)], MEANS, ["cart"])
    assert "below no rival beyond noise (cart: under 100 test rows" in found
