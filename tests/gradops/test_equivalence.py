"""Methods that are one and the same for some number of tasks."""

from __future__ import annotations

import pytest

from gradops.equivalence import same_updates
from gradops.methods import METHODS, parse


@pytest.mark.parametrize(
    ("first", "second", "tasks"),
    [
        ("pcgrad", "gradops(alpha=0)", 2),
        ("gradops", "gradops_static", 3),
        ("cagrad(c=0)", "uniform", 3),
        ("dw(alpha=0)", "static", 4),
        ("pcgrad", "uniform", 1),
        ("mgda_ub", "mgda_ub", 2),
    ],
)
def test_one_method_under_two_names(first: str, second: str, tasks: int) -> None:
    assert same_updates(parse(first), parse(second), tasks)
    assert same_updates(parse(second), parse(first), tasks)


@pytest.mark.parametrize(
    ("first", "second", "tasks"),
    [
        ("pcgrad", "gradops(alpha=0)", 3),  # a later projection brings an earlier conflict back
        ("pcgrad", "gradops(alpha=-1)", 2),
        ("gradnorm", "uniform", 2),  # equal at the first step only: its weights are learned
        ("uniform", "rotograd_r", 2),  # the same weights, but its towers read through rotations
        ("uniform", "uniform + rotation", 2),
        ("mgda", "mgda_ub", 2),  # the same weights, of other gradients
        ("graddrop", "graddrop", 2),  # has no weights
    ],
)
def test_two_methods(first: str, second: str, tasks: int) -> None:
    assert not same_updates(parse(first), parse(second), tasks)


def test_no_two_methods_with_their_defaults_are_the_same_for_many_tasks_but_the_fixed_ones() -> None:
    names = list(METHODS)
    same = {(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if same_updates(parse(a), parse(b), 5)}
    assert same == {("gradops", "gradops_static"), ("static", "uniform")}
