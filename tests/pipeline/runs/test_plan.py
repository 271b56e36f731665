"""Systems and planned runs: which systems are baselines, and the names of runs."""

from __future__ import annotations

import pytest

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import BASELINES, BOOSTING, REFERENCES, SINGLE_TASK, UNIFORM, PlannedRun, System


@pytest.mark.parametrize("baseline", BASELINES, ids=str)
def test_a_baseline_is_found_by_its_name(baseline: System) -> None:
    assert System.named(baseline.name) is baseline
    assert baseline.is_baseline


def test_every_other_name_is_a_ranked_method_that_can_be_registered() -> None:
    method = System.named("gradops(alpha=-2.0)")
    assert (method.name, method.kind, method.is_ranked, method.is_registrable) == (
        "gradops(alpha=-2.0)",
        "method",
        True,
        True,
    )
    assert not method.is_baseline


def test_the_baselines_differ_in_what_they_take_part_in() -> None:
    assert [system.is_ranked for system in (SINGLE_TASK, UNIFORM, BOOSTING)] == [True, True, False]
    assert [system.is_registrable for system in (SINGLE_TASK, UNIFORM, BOOSTING)] == [False, True, False]
    assert REFERENCES == (UNIFORM, SINGLE_TASK), "the first is the one that a table's marks are against"


def test_a_label_names_the_task_where_each_has_a_model_of_its_own(few: tuple[RunConfig, Prepared]) -> None:
    config = few[0].changed({"train.seed": 3})
    first = config.tasks[0]
    labels = [PlannedRun(system, config).label for system in (SINGLE_TASK, BOOSTING, UNIFORM, System("trial 9 mgda"))]
    expected = [f"single-task {first} seed 3", f"boosting {first} seed 3", "uniform seed 3", "trial 9 mgda seed 3"]
    assert labels == expected
