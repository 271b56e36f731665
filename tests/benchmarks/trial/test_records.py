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
    Record(0, 3, 3.0, [0.9], [0.8], task=1, blocks=[[3, -4]], cosines=[0, -1], depends="0a1b"),
]


def test_runs_are_read_as_they_were_written(plan: Plan, uniform: Family) -> None:
    for record in RECORDS:
        plan.store.add(CENSUS_DATA, uniform, record)
    assert plan.store.records(CENSUS_DATA, uniform) == RECORDS


@pytest.mark.parametrize("torn", [b"", b'{"data": "12', b"[1,0,3."])
def test_what_a_killed_process_left_is_none(plan: Plan, uniform: Family, torn: bytes) -> None:
    path = plan.store.folder / "census" / "uniform.jsonl"
    path.parent.mkdir(parents=True)
    before = RECORDS[:1] if torn.startswith(b"[") else []
    for record in before:
        plan.store.add(CENSUS_DATA, uniform, record)
    with path.open("ab") as stream:
        stream.write(torn)
    assert plan.store.records(CENSUS_DATA, uniform) == before
    plan.store.add(CENSUS_DATA, uniform, RECORDS[1])
    assert plan.store.records(CENSUS_DATA, uniform) == [*before, RECORDS[1]]


@pytest.mark.parametrize("change", [{"recipe": "other rows"}, {"changes": {"model.bottom": [8, 4]}}])
def test_runs_of_another_definition_are_refused(plan: Plan, uniform: Family, change: dict[str, object]) -> None:
    plan.store.add(CENSUS_DATA, uniform, RECORDS[0])
    with pytest.raises(OtherDefinitionError, match="another definition"):
        plan.store.records(replace(CENSUS_DATA, **change), uniform)  # type: ignore[arg-type]


def test_every_data_set_has_an_identity_of_its_own() -> None:
    assert len({dataset.identity for dataset in DATASETS.values()}) == len(DATASETS)
