"""Every family has the same rates in equal trials, and methods within the ranges that the catalogue declares."""

from __future__ import annotations

import pytest

from benchmarks.trial import families as f
from benchmarks.trial.families import EVERY, FAMILIES, Family
from gradops.catalogue import search_space
from gradops.methods import METHODS, parse
from gradops.methods.static import Static
from pipeline.search.method_options import option_of
from pipeline.training.task_weights import RULES

RATES = (0.3, 0.12, 0.05, 0.02, 0.008, 0.003, 0.001, 0.0005)


def test_every_method_has_a_family() -> None:
    assert {*METHODS} <= {*FAMILIES}


@pytest.mark.parametrize("family", EVERY.values(), ids=lambda family: family.name)
def test_a_familys_trials_are_methods_within_their_ranges(family: Family) -> None:
    for tasks in (3, 8):
        methods = [parse(family.method(trial, RATES[:tasks])) for trial in range(family.trials)]
        for method in methods:
            for option, (low, high) in search_space(method).items():
                narrower = f._RANGES.get((family.name, option), f._RANGES.get((family.base, option), (low, high)))
                assert narrower[0] <= option_of(method, option) <= narrower[1]
            weight = getattr(method, "weight", ())
            assert not weight or (len(weight) == tasks and sum(weight) == pytest.approx(tasks, rel=1e-3))
        searched = bool(search_space(methods[0])) or bool(getattr(methods[0], "weight", ()))
        assert len({*map(str, methods)}) == (family.trials if searched else 1)


def test_the_first_trials_cover_the_ranges_of_the_rates() -> None:
    shared = [f.UNIFORM.shared(trial, "rowwise_adagrad") for trial in range(f.TRIALS)]
    for name, (low, high) in {"train.lr": f.LR, "train.table_lr": f.TABLE_LR["rowwise_adagrad"]}.items():
        found = sorted(values[name] for values in shared)
        assert low <= found[0] < 1.5 * low
        assert high / 1.5 < found[-1] <= high


def test_powers_go_from_favouring_common_tasks_to_beyond_the_inverse_of_the_loss() -> None:
    weights = [parse(f.STATIC_POWER.method(trial, RATES)) for trial in range(f.TRIALS)]
    ratios = sorted(m.weight[-1] / m.weight[0] for m in weights if isinstance(m, Static))
    assert ratios[0] < 0.5
    assert ratios[-1] > 200  # the losses of constant predictions differ by a factor of 144


def test_the_second_sequence_has_other_trials_of_the_same_families() -> None:
    assert f.SECOND["uniform"].shared(0, "adam") != f.UNIFORM.shared(0, "adam")
    assert f.SECOND["static_power"].method(0, RATES) != f.STATIC_POWER.method(0, RATES)
    assert {family.file for family in f.SECOND.values()}.isdisjoint({family.file for family in FAMILIES.values()})


def test_families_of_equal_passes_have_one_cost() -> None:
    assert f.SECOND["static_power"].cost == f.UNIFORM.cost == FAMILIES["uncertainty"].cost
    assert FAMILIES["pcgrad"].cost == FAMILIES["upgrad"].cost != f.UNIFORM.cost


def test_the_rule_of_a_config_is_uniform_with_other_factors_of_the_losses() -> None:
    rule = f.SQRT_INVERSE_RATE
    assert rule.method(3, RATES) == f.UNIFORM.method(3, RATES)
    assert rule.cost == f.UNIFORM.cost
    assert rule.task_weights in {*RULES} - {f.UNIFORM.task_weights}
    assert rule.name not in FAMILIES
