"""Finished runs are kept line by line, and never counted for another definition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.trial.datasets import CENSUS_DATA, DATASETS
from benchmarks.trial.families import Family
from benchmarks.trial.plan import Plan
from benchmarks.trial.records import OtherDefinitionError, Record

RECORDS = [
    Record(0, 0, 3.21, [0.91234, 0.5], [0.9, 0.51]),
    Record(1, 0, 1.0, [], [], failed="DivergedError: no longer finite"),
    Record(0, 3, 3.0, [0.9], [0.8], task=1, blocks=[3, -4], cosines=[0, -1]),
]


def test_runs_are_read_as_they_were_written(plan: Plan, uniform: Family) -> None:
    for record in RECORDS:
        plan.store.add(CENSUS_DATA, uniform, record)
    assert plan.store.records(CENSUS_DATA, uniform) == RECORDS


@pytest.mark.parametrize("change", [{"recipe": "other rows"}, {"changes": {"model.bottom": [8, 4]}}])
def test_runs_of_another_definition_are_refused(plan: Plan, uniform: Family, change: dict[str, object]) -> None:
    plan.store.add(CENSUS_DATA, uniform, RECORDS[0])
    with pytest.raises(OtherDefinitionError, match="another definition"):
        plan.store.records(replace(CENSUS_DATA, **change), uniform)  # type: ignore[arg-type]


def test_every_data_set_has_an_identity_of_its_own() -> None:
    assert len({dataset.identity for dataset in DATASETS.values()}) == len(DATASETS)
