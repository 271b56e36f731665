"""A comparison and a search in plain language, on results that were made up."""

from __future__ import annotations

from typing import Any

from pipeline.comparison.chosen_model import ChosenModel
from pipeline.comparison.comparison import Row
from pipeline.comparison.confidence import Interval
from pipeline.comparison.result_file import ComparisonFile, StudyFile
from pipeline.comparison.summary import summary

TASKS = ["purchase", "cart", "wish"]
SINGLE = (0.70, 0.60, 0.65)


def row(system: str, *auc: float) -> Row:
    return Row(system, dict(zip(TASKS, auc, strict=True)), None, sum(auc) / 3, 0.0, None)


def interval(system: str, against: str, task: str | None, delta: float, half: float = 0.003) -> Interval:
    return Interval(system, against, task, delta, delta - half, delta + half)


def common(kind: str) -> dict[str, Any]:
    return {"kind": kind, "name": "shop", "data": "d", "config": {}, "versions": {}, "tasks": TASKS, "seeds": [0]}


def comparison(*systems: Row, above_uniform: float = 0.0) -> ComparisonFile:
    """A comparison whose systems have the same AUC on validation and test rows."""
    rows = [row("single-task", *SINGLE), *systems]
    found = [
        interval(one.system, "single-task", task, one.auc[task] - alone)
        for one in systems
        for task, alone in zip(TASKS, SINGLE, strict=True)
    ]
    found += [interval(one.system, "uniform", None, above_uniform) for one in systems if one.system != "uniform"]
    own: dict[str, Any] = {"val": rows, "test": rows, "front": [one.system for one in systems], "intervals": found}
    return ComparisonFile(**common("comparison"), **own, runs={one.system: [] for one in rows})


def test_gains_losses_and_noise_are_told_apart_with_their_intervals() -> None:
    effect, serve = summary(comparison(row("uniform", 0.704, 0.599, 0.64), row("pcgrad", 0.703, 0.601, 0.642)))
    assert effect == (
        "Training together helps purchase by 0.0040 [0.0010, 0.0070], costs wish by 0.0100 [0.0070, 0.0130] and leaves "
        "cart (-0.0010 [-0.0040, +0.0020]) within noise, in test AUC against one model a task."
    )
    assert serve == "`uniform` is the version to serve if all tasks count alike, `pcgrad` if cart or wish counts most."


def test_the_method_that_is_better_beyond_noise_is_the_one_to_serve() -> None:
    systems = row("uniform", 0.704, 0.605, 0.655), row("gradops(alpha=-1.0)", 0.714, 0.615, 0.665)
    effect, serve = summary(comparison(*systems, above_uniform=0.01))
    assert effect.startswith("Training together helps purchase by 0.0140 [0.0110, 0.0170], cart by 0.0150")
    assert serve == "`gradops(alpha=-1.0)` is the version to serve if all tasks count alike."


def test_a_preset_serves_what_it_has_chosen() -> None:
    models = [
        ChosenModel("ensemble", ["balanced", "best-purchase", "best-cart"], None, [], {}, {}),
        ChosenModel("trial 3: uniform", ["best-wish"], 3, [], {}, {}),
    ]
    rivals = [interval("ensemble", "single-task", task, 0.01) for task in TASKS]
    file = StudyFile(**common("study"), baselines={}, points=[], chosen=models, against_rivals=rivals)
    effect, serve = summary(file)
    assert effect.startswith("`ensemble` helps purchase by 0.0100 [0.0070, 0.0130], cart by")
    assert (
        serve == "`ensemble` is the version to serve if all tasks count alike, `trial 3: uniform` if wish counts most."
    )


def test_nothing_is_said_without_intervals_or_without_a_method() -> None:
    found = comparison(row("uniform", 0.704, 0.599, 0.64))
    assert summary(found.model_copy(update={"intervals": []})) == []
    assert summary(comparison()) == []
    assert summary(StudyFile(**common("study"), baselines={}, points=[])) == []
