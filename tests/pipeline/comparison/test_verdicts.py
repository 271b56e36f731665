"""The sentences on a comparison, on results that were made up."""

from __future__ import annotations

import pytest

from pipeline.comparison.findings import Labels
from pipeline.comparison.verdicts import verdicts
from tests.pipeline.comparison.made_up import findings, run

EQUAL = {
    "single-task": {"purchase": 0.800, "cart": 0.700},
    "uniform": {"purchase": 0.804, "cart": 0.701},
    "pcgrad": {"purchase": 0.805, "cart": 0.701},
}


def changed(**systems: tuple[float, float]) -> dict[str, dict[str, float]]:
    """The results above with other AUCs of purchase and cart."""
    return EQUAL | {name.replace("_", "-"): {"purchase": p, "cart": c} for name, (p, c) in systems.items()}


def test_where_methods_are_equal_the_plainest_one_is_taken() -> None:
    assert verdicts(findings(EQUAL)) == [
        "Take `uniform`: no other method is better on average beyond noise: the highest, `pcgrad`, has +0.0005 in "
        "average test AUC (interval -0.0015 to +0.0025); against single-task models: purchase +0.0040, cart +0.0010 "
        "(within noise)."
    ]


def test_a_method_that_is_better_beyond_noise_is_taken() -> None:
    assert verdicts(findings(changed(pcgrad=(0.812, 0.709), mgda=(0.809, 0.706)))) == [
        "Take `pcgrad`: its average test AUC is 0.0080 above that of `uniform` (interval +0.0060 to +0.0100), beyond "
        "noise; against single-task models: purchase +0.0120, cart +0.0090."
    ]


def test_a_method_that_is_better_on_one_task_is_named() -> None:
    (verdict,) = verdicts(findings(changed(pcgrad=(0.808, 0.697))))
    assert "; on one task `pcgrad` is, purchase +0.0040; against" in verdict
    assert verdict.startswith("Take `uniform`: no other method is better on average beyond noise")


def test_of_many_gains_on_one_task_the_largest_is_named_and_the_others_are_counted() -> None:
    (verdict,) = verdicts(findings(changed(pcgrad=(0.808, 0.697), mgda=(0.7, 0.71), cagrad=(0.7, 0.708))))
    assert "; on one task `mgda` is, cart +0.0090, and 2 more such gains; against" in verdict


def test_where_single_task_models_are_better_that_is_the_verdict() -> None:
    first, *others = verdicts(findings(changed(single_task=(0.84, 0.7))))
    assert first == (
        "Multi-task training does not pay here: `uniform` is 0.0175 below the single-task models in average test AUC "
        "(interval -0.0195 to -0.0155)."
    )
    assert others == [
        "`uniform` is 0.0360 AUC below the single-task model of purchase, beyond noise (interval -0.0380 to -0.0340; "
        "methods below it: 2 of 2)."
    ]


def test_one_method_alone_is_compared_with_single_task_models() -> None:
    alone = {name: EQUAL[name] for name in ("single-task", "pcgrad")}
    assert verdicts(findings(alone)) == [
        "Take `pcgrad`: average test AUC 0.7530; against single-task models: purchase +0.0050, cart +0.0010 (within "
        "noise)."
    ]


def test_many_tasks_are_one_average() -> None:
    many = {system: {f"task{i}": auc for i in range(9)} for system, auc in (("single-task", 0.7), ("uniform", 0.71))}
    assert verdicts(findings(many)) == [
        "Take `uniform`: average test AUC 0.7100; against single-task models: average +0.0100."
    ]


def test_without_a_method_there_is_no_verdict() -> None:
    assert verdicts(findings({"single-task": EQUAL["single-task"]})) == []


@pytest.mark.parametrize(
    ("positives", "known", "error"),
    [(9, 2410, "±0.173"), (32, 2000, "±0.092"), (99, 100_000, "±0.052"), (2402, 2410, "±0.112")],
)
def test_few_positives_are_said_with_the_error_of_their_auc(positives: int, known: int, error: str) -> None:
    _, caution = verdicts(findings(EQUAL, labels={"purchase": Labels(known, positives)}))
    assert caution == (
        f"purchase has {positives:,} positives among {known:,} test rows: its AUC of 0.8040 is known to {error} at "
        "best; hold out more rows."
    )


def test_a_hundred_positives_are_enough() -> None:
    assert len(verdicts(findings(EQUAL, labels={"purchase": Labels(2000, 100)}))) == 1


def test_few_positives_in_validation_are_said() -> None:
    found = findings(EQUAL)
    few = {"purchase": Labels(1200, 11), "cart": found.labels["val"]["cart"]}
    _, caution = verdicts(findings(EQUAL).__class__(**vars(found) | {"labels": {**found.labels, "val": few}}))
    assert caution.startswith("purchase has 11 positives among 1,200 validation rows: epochs and models are chosen by")


@pytest.mark.parametrize(
    ("steps", "curve", "reason"),
    [
        (100, (0.5,), "100 steps"),
        (5_000, (0.70, 0.71, 0.724), "validation AUC still rose by 0.0140 in the last of 3 epochs"),
        (900, (0.70, 0.71), "900 steps, validation AUC still rose by 0.0100 in the last of 2 epochs"),
    ],
)
def test_too_little_training_is_said(steps: int, curve: tuple[float, ...], reason: str) -> None:
    runs = {"uniform": [run(["purchase", "cart"], steps=steps, curve=curve)]}
    _, caution = verdicts(findings(EQUAL, runs=runs))
    assert caution == (
        f"`uniform` may be trained too little ({reason}); raise `train.epochs` or lower `train.batch_size`."
    )


@pytest.mark.parametrize("curve", [(0.7,), (0.7, 0.71, 0.709), (0.7, 0.71, 0.7105)])
def test_training_that_is_over_is_not_blamed(curve: tuple[float, ...]) -> None:
    assert len(verdicts(findings(EQUAL, runs={"uniform": [run(["purchase", "cart"], curve=curve)]}))) == 1


def test_boosting_that_beats_every_method_is_said_with_both_figures() -> None:
    _, caution = verdicts(findings(changed(boosting=(0.83, 0.702))))
    assert caution == (
        "Boosting has a higher test AUC than every method on purchase 0.8300 "
        "(best method: `pcgrad` 0.8050; beyond noise above `uniform`)."
    )


def test_boosting_within_noise_or_below_is_not_mentioned() -> None:
    assert len(verdicts(findings(changed(boosting=(0.8055, 0.6)), noise=0.01))) == 1


@pytest.mark.parametrize(("weight", "text"), [(1.4e7, "1.4e+07"), (-2e3, "2e+03")])
def test_a_huge_weight_is_said(weight: float, text: str) -> None:
    heavy = run(
        ["purchase", "cart"], weights={300: {"purchase": 1.0, "cart": 1.0}, 350: {"purchase": weight, "cart": 1.0}}
    )
    _, caution = verdicts(findings(EQUAL, runs={"pcgrad": [run(["purchase", "cart"]), heavy]}))
    assert caution == (
        f"`pcgrad` gave the gradient of purchase a weight of {text} at step 350 (under `uniform` it is 1): look at its "
        "weights over the steps before you serve it, or try it with `+ bound(10)`."
    )


def test_weights_of_a_few_are_usual() -> None:
    usual = run(["purchase", "cart"], weights={350: {"purchase": 12.0, "cart": 0.1}})
    assert len(verdicts(findings(EQUAL, runs={"pcgrad": [usual]}))) == 1


def test_auc_and_gauc_that_tell_different_stories_are_both_said() -> None:
    _, caution = verdicts(findings(EQUAL, gauc={"purchase": 0.536, "cart": 0.69}))
    assert caution == (
        "purchase: AUC 0.8040, but GAUC 0.5360 within the groups of `spec.group`: it tells groups apart more than the "
        "rows of one group."
    )


def test_a_gauc_far_above_the_auc_is_said_too() -> None:
    _, caution = verdicts(findings(EQUAL, gauc={"purchase": 0.8, "cart": 0.95}))
    assert caution.endswith("it ranks the rows of one group better than it compares groups.")


@pytest.mark.parametrize("gauc", [0.79, float("nan")])
def test_auc_and_gauc_that_agree_are_not_mentioned(gauc: float) -> None:
    assert len(verdicts(findings(EQUAL, gauc={"purchase": gauc, "cart": 0.69}))) == 1
