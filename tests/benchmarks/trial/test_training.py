"""Runs on few rows: they are made once, measured, and a failing one is kept with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.trial import training
from benchmarks.trial.__main__ import work
from benchmarks.trial.datasets import Dataset, log8
from benchmarks.trial.families import FAMILIES, SQRT_INVERSE_RATE, UNIFORM
from benchmarks.trial.plan import Plan, Stage
from benchmarks.trial.records import OtherDefinitionError, Store
from benchmarks.trial.training import Bench, Planned, is_of_method, narrowed
from gradops.methods import METHODS, parse
from pipeline.training.trainer import DivergedError

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
    weights = METHODS["upgrad"].weights  # type: ignore[attr-defined]

    def broken(method: object, gram_TT: Tensor, *more: object) -> object:
        if torch.equal(gram_TT, torch.eye(len(gram_TT))):  # the check of a config
            return weights(method, gram_TT, *more)
        raise ValueError(f"no weights for {len(gram_TT)} tasks")

    monkeypatch.setattr(METHODS["upgrad"], "weights", broken)
    plan, bench = Plan(Store(folder / "results"), seeds=(1,), trials=1), Bench(folder / "work")
    families = [FAMILIES["upgrad"], UNIFORM]
    stages = [Stage(dataset, what, families) for what in ("trials", "seeds")]
    assert work(plan, bench, stages, (), 1.0) == 3  # two trials, and a seed of the one that ended
    assert work(plan, bench, stages, (), 1.0) == 0
    with monkeypatch.context() as changed:
        changed.setattr(training, "CODE", 0)
        with pytest.raises(OtherDefinitionError, match="by other code"):
            work(plan, bench, stages, (), 1.0)
    (failed,) = plan.store.records(dataset, FAMILIES["upgrad"])
    assert "no weights for 8 tasks" in failed.failed
    trial, seed = plan.store.records(dataset, UNIFORM)
    assert all(len(aucs) == 8 for record in (trial, seed) for aucs in (record.val, record.test))
    assert (len(trial.cosines), len(seed.cosines)) == (0, 28)


def test_a_run_depends_on_its_options_its_network_and_real_rows(folder: Path, dataset: Dataset) -> None:
    bench = Bench(folder / "work")
    rates = bench.rates(dataset)
    planned = [
        *(Planned(dataset, UNIFORM, trial, 0) for trial in (0, 1)),
        Planned(dataset, SQRT_INVERSE_RATE, 0, 0),
        *(Planned(dataset, FAMILIES[name], 0, 0, 1) for name in ("single_task", "single_task_equal")),
    ]
    assert len({bench.depends(run, rates) for run in planned}) == len(planned)
    config, _, prepared = bench.data(dataset, 0)
    real = replace(dataset, is_redrawn=False)
    assert training.depends_on(real, config, prepared) != training.depends_on(dataset, config, prepared)


def test_the_two_looks_on_real_rows_are_halves() -> None:
    first_N, fresh_N = training._look(5, 1001), training._look(6, 1001)
    assert (first_N ^ fresh_N).all()
    assert first_N.sum() == 501
    assert (first_N == training._look(0, 1001)).all()


def test_only_a_methods_own_errors_are_results() -> None:
    assert is_of_method(DivergedError("no longer finite"))
    assert not is_of_method(ValueError("of the trial itself"))
    for lack in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError("disk")):
        assert not is_of_method(lack)
    with pytest.raises(ValueError, match="alpha") as raised:
        parse("gradops(alpha=nan)")
    assert is_of_method(raised.value)


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
