"""Runs on few rows: they are made once, measured, and a failing one is kept with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from torch import Tensor

from benchmarks.trial.__main__ import work
from benchmarks.trial.datasets import Dataset, log8
from benchmarks.trial.families import FAMILIES, UNIFORM
from benchmarks.trial.plan import Plan, Stage
from benchmarks.trial.records import Store
from benchmarks.trial.training import Bench, narrowed
from gradops.methods import METHODS

ROWS = {"train": 12_000, "val": 12_000, "test": 12_000}
STAGES = ("trials", "seeds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return log8(1, ROWS)


def test_runs_are_made_once_and_failures_are_kept(
    folder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object, gram_TT: Tensor, *__: object) -> NoReturn:
        raise ValueError(f"no weights for {len(gram_TT)} tasks")

    monkeypatch.setattr(METHODS["upgrad"], "weights", broken)
    plan, bench = Plan(Store(folder / "results"), seeds=(1,), trials=1), Bench(folder / "work")
    families = [FAMILIES["upgrad"], UNIFORM]
    stages = [Stage(dataset, what, families) for what in ("trials", "seeds")]
    assert work(plan, bench, stages, (), 1.0) == 3  # two trials, and a seed of the one that ended
    assert work(plan, bench, stages, (), 1.0) == 0
    (failed,) = plan.store.records(dataset, FAMILIES["upgrad"])
    assert "no weights for 8 tasks" in failed.failed
    trial, seed = plan.store.records(dataset, UNIFORM)
    assert all(len(aucs) == 8 for record in (trial, seed) for aucs in (record.val, record.test))
    assert (len(trial.cosines), len(seed.cosines)) == (0, 28)


def test_separate_networks_are_together_as_large_as_one(folder: Path, dataset: Dataset) -> None:
    config, _, _ = Bench(folder / "work").data(dataset, 0)
    width, half = narrowed(config)["model.bottom"]
    assert 8 * (100 * width + width * half + half) <= 100 * 64 + 64 * 32 + 32 * 8
    assert half == width // 2


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ends_a_trial(name: str, folder: Path, dataset: Dataset) -> None:
    plan, bench = Plan(Store(folder / f"results-{name}"), seeds=(1,), trials=1), Bench(folder / "work")
    family = replace(FAMILIES[name], trials=1)
    assert work(plan, bench, [Stage(dataset, "trials", [family])], (), 1.0)
    assert not [record.failed for record in plan.store.records(dataset, family) if record.failed]
