"""The gate's checks, one by one, on rows made for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.config.gate import GateConfig
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.gate import Check, Contender, judge
from pipeline.registry.heldout import HeldOut

Few = tuple[RunConfig, Prepared]

ROWS = 4000
CONFIG = GateConfig(resamples=200, calibration=(0.9, 1.1))


def contender(few: Few, number: int = 2, **changed: Any) -> Contender:
    known = {"tasks": ("buy", "wish"), "inputs": {"item": "text", "price": "any"}, "split": few[1].split}
    return Contender(number, **(known | {"data": "another"} | changed))


def rows(*skills: float) -> HeldOut:
    """Labels, and calibrated models that predict them more or less well."""
    generator = np.random.default_rng(0)
    logit_N = generator.normal(size=ROWS)
    labels: dict[str, Any] = {}
    scores: list[dict[str, Any]] = [{} for _ in skills]
    for task in ("buy", "wish"):
        probability_N = 1 / (1 + np.exp(-2 * logit_N))
        labels[task] = (generator.random(ROWS) < probability_N).astype(np.int8)
        for scored, skill in zip(scores, skills, strict=True):
            noisy_N = skill * logit_N + np.sqrt(1 - skill**2) * generator.normal(size=ROWS)
            scored[task] = (1 / (1 + np.exp(-2 * noisy_N))).astype(np.float32)
    frames = [pl.DataFrame(scored) for scored in scores]
    return HeldOut(pl.DataFrame(labels), tuple(frames), None)


def judged(few: Few, found: HeldOut, config: GateConfig = CONFIG, **candidate: Any) -> dict[str, Check]:
    champion = contender(few, 1) if len(found.scores) > 1 else None
    checks = judge(contender(few, **candidate), champion, found, few[1], config)
    return {check.name: check for check in checks}


def refused(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if not check.passed}


@pytest.mark.parametrize(
    ("skills", "expected"),
    [
        ((0.9, 0.8), set()),
        ((0.8, 0.9), {"AUC of buy", "AUC of wish"}),
        ((0.9,), set()),
        ((0.0,), {"AUC of buy", "AUC of wish"}),
    ],
)
def test_a_better_model_passes_and_a_worse_one_does_not(
    few: Few, skills: tuple[float, ...], expected: set[str]
) -> None:
    assert refused(judged(few, rows(*skills))) == expected


def test_an_equal_model_passes_only_if_the_rows_show_that_it_is_equal(few: Few) -> None:
    """With a margin below the precision of few rows, even the champion's equal is refused: no news is no good news."""
    found = rows(0.9, 0.9)
    assert not refused(judged(few, found, CONFIG.model_copy(update={"margin": 0.03})))
    checks = judged(few, found, CONFIG.model_copy(update={"margin": 0.0001}))
    assert refused(checks) == {"AUC of buy", "AUC of wish"}
    assert checks["AUC of buy"].rule == "no more than 0.0001 below version 1 with 95% confidence over all tasks"


def test_too_few_labels_are_refused(few: Few) -> None:
    found = rows(0.9)
    labels = found.labels.with_columns(buy=pl.when(pl.int_range(ROWS) < 150).then("buy"), wish=pl.lit(None, pl.Int8))
    checks = judged(few, HeldOut(labels, found.scores, None))
    assert {"labels of buy", "labels of wish", "AUC of wish", "calibration of wish"} <= refused(checks)
    assert checks["labels of wish"].found == "0 positives, 0 negatives"


def test_probabilities_that_are_too_high_are_refused(few: Few) -> None:
    found = rows(0.9)
    higher = found.scores[0].with_columns(buy=pl.col("buy").sqrt())
    checks = judged(few, HeldOut(found.labels, (higher,), None))
    assert refused(checks) == {"calibration of buy"}
    assert float(checks["calibration of buy"].found) > 1.1


def test_other_inputs_and_tasks_have_to_be_allowed(few: Few) -> None:
    changed: dict[str, Any] = {"inputs": {"item": "integer", "colour": "text"}, "tasks": ("buy",)}
    found = rows(0.9, 0.8)
    checks = judged(few, found, **changed)
    assert refused(checks) == {"signature", "tasks"}
    assert checks["signature"].found == "+colour, -price, item: text is now integer"
    assert checks["tasks"].found == "-wish"
    allowed = judged(few, found, CONFIG.model_copy(update={"allow_signature_change": True}), **changed)
    assert not refused(allowed)
    assert "AUC of wish" not in allowed


@pytest.mark.parametrize("skill", [0.9, 0.0])
@pytest.mark.parametrize("tasks", [("buy", "like"), ("like",)])
def test_a_task_that_the_champion_does_not_predict_is_held_against_a_half(
    few: Few, tasks: tuple[str, ...], skill: float
) -> None:
    found = rows(skill, skill)
    found = HeldOut(found.labels, (found.scores[0], found.scores[1].rename({"wish": "like"}).select(tasks)), None)
    config = CONFIG.model_copy(update={"allow_signature_change": True, "margin": 0.05, "calibration": (0.0, 9.0)})
    checks = {c.name: c for c in judge(contender(few), contender(few, 1, tasks=tasks), found, few[1], config)}
    alone = {"AUC of buy", "AUC of wish"} - {f"AUC of {task}" for task in tasks}
    assert refused(checks) == (set() if skill else alone)
    for task in ("buy", "wish"):
        against = "0.05 below version 1" if task in tasks else "above 0.5"
        assert against in checks[f"AUC of {task}"].rule


def by_days(prepared: Prepared, test: str) -> Prepared:
    split = {"key": None, "time": "at", "seed": 0, "validation": "2026-01-01", "test": test}
    return Prepared(prepared.folder, {**prepared.manifest, "split": split})


def test_held_out_rows_were_not_seen_by_the_candidate(few: Few) -> None:
    def unseen(prepared: Prepared, **changed: Any) -> bool:
        checks = judge(contender(few, **changed), None, rows(0.9), prepared, CONFIG)
        return next(check.passed for check in checks if check.name == "held out")

    _, ours = few
    assert unseen(ours, data=ours.fingerprint, split=None)
    assert unseen(ours)
    assert not unseen(ours, split=None)
    assert not unseen(ours, split={**ours.split, "seed": 1})
    assert not unseen(ours, split={**ours.split, "holdout": False})
    day = by_days(ours, "2026-01-09")
    assert unseen(day, split=by_days(ours, "2026-01-08").split)
    assert unseen(day, split=day.split)
    assert not unseen(day, split=by_days(ours, "2026-01-10").split)
    assert not unseen(day, split=ours.split)


def test_a_gate_with_impossible_rules_is_a_config_error() -> None:
    with pytest.raises(ValueError, match="a lower and a higher ratio"):
        GateConfig(calibration=(1.2, 0.8))
