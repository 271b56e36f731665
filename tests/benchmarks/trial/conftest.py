"""A trial of invented runs: files as the trial writes them, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.trial import families as f
from benchmarks.trial.datasets import CENSUS_DATA
from benchmarks.trial.families import Family
from benchmarks.trial.plan import Plan
from benchmarks.trial.records import Record, Store

AddTrials = Callable[[Family, Sequence[float]], None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def plan(store: Store) -> Plan:
    return Plan(store, trials=4)


@pytest.fixture
def add_trials(store: Store) -> AddTrials:
    """Adds a family's trials with these means of validation AUC; test is the better the worse validation is."""

    def add(family: Family, means: Sequence[float]) -> None:
        for trial, mean in enumerate(means):
            aucs = ([mean] * 3, [1 - mean / 2] * 3) if mean else ([], [])
            store.add(CENSUS_DATA, family, Record(trial, 0, 2.0, *aucs, failed="" if mean else "DivergedError"))

    return add


@pytest.fixture
def uniform() -> Family:
    return f.UNIFORM
