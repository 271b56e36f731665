"""The choice of a trade-off among registered ones."""

from __future__ import annotations

import pytest

from features.errors import InputError
from pipeline.registry.model import Version
from pipeline.registry.preference import Preference

TASKS = ("purchase", "cart", "wish")


def version(number: int, *aucs: float, data: str = "day") -> Version:
    named = {f"val.auc.{task}": f"{auc:.6f}" for task, auc in zip(TASKS, aucs, strict=False)}
    return Version(number, {"data": data, **named}, None)


FRONT = [
    version(1, 0.81, 0.70, 0.60),
    version(2, 0.78, 0.72, 0.64),
    version(3, 0.70, 0.71, 0.75),
    version(4, 0.99, 0.99, 0.99, data="another day"),
    version(5, 0.99),
]


@pytest.mark.parametrize(
    ("prefer", "at_least", "chosen"),
    [
        ("purchase=1", [], 1),
        ("purchase=2,cart=1,wish=1", [], 2),
        ("purchase=2, cart=1, wish=2", [], 3),
        ("wish=1,purchase=0", [], 3),
        ("", ["wish=0.6"], 1),
        ("", ["wish=0.61"], 2),
        ("", ["wish=0.6", "cart=0.72"], 2),
        ("", ["wish=0.6,cart=0.71"], 2),
        ("wish=1", ["purchase=0.75"], 2),
        ("", ["purchase=0.1,cart=0.1,wish=0.1"], 3),
    ],
)
def test_the_best_by_weights_and_floors_is_chosen(prefer: str, at_least: list[str], chosen: int) -> None:
    assert Preference.parse(prefer, at_least, TASKS).choose(FRONT, "day") == chosen


def test_of_equally_good_versions_the_newest_is_chosen() -> None:
    equals = [version(number, 0.8, 0.7, 0.6) for number in (1, 3, 2)]
    assert Preference.parse("purchase=1", [], TASKS).choose(equals, "day") == 3


def test_a_floor_that_no_version_reaches_is_an_error_that_names_the_closest() -> None:
    with pytest.raises(InputError) as raised:
        Preference.parse("", ["wish=0.8", "purchase=0.79"], TASKS).choose(FRONT, "day")
    assert "wish=0.8: the highest is 0.7500, of version 3" in str(raised.value)
    assert "purchase=0.79: the highest is 0.8100, of version 1" in str(raised.value)


def test_versions_of_other_data_are_not_compared() -> None:
    with pytest.raises(InputError, match="none of 5 version"):
        Preference.parse("wish=1", [], TASKS).choose(FRONT, "tomorrow")


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InputError) as raised:
        Preference.parse("purchas=1,cart=many,wish=-1,wish=2", ["basket=0.5", "cart=1.5", "wish=nan"], TASKS)
    message = str(raised.value)
    for part in (
        "did you mean `purchase`?",
        "--prefer cart=many: write task=number",
        "--prefer names `wish` twice",
        "--prefer wish=-1: a weight is 0 or more",
        "--at-least basket=0.5: there is no task `basket`",
        "--at-least cart=1.5: an AUC is from 0 to 1",
        "--at-least wish=nan: write task=number",
    ):
        assert part in message
    with pytest.raises(InputError, match="some task needs a weight above 0"):
        Preference.parse("wish=0", [], TASKS)
