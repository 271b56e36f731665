"""A plain and a rotated model, trained on a click log with every kind of feature, and registered."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from filelock import FileLock

from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import comparison_fingerprint, plan_networks
from pipeline.config.run import RunConfig
from pipeline.config.split import split_by_key
from pipeline.data.prepare import prepare
from pipeline.evaluation.metrics import Evaluator
from pipeline.registry.register import register
from pipeline.runs.plan import SINGLE_TASK
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.pipeline.clicks import CLICKS_TOML, click_log

# A leader this fast has turned far from the identity after ten steps.
METHODS = {"plain": "uniform", "turned": "rotograd + rotation(leader_lr=0.5)"}


@dataclass(frozen=True)
class Registered:
    """A registered model.

    Args:
        config: What it was trained by; the model has its name.
        folder: Where everything is.
        evaluated: What training's own evaluation of the test rows was given: rows x tasks of probabilities.
    """

    config: RunConfig
    folder: Path
    evaluated: npt.NDArray[np.float32]

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def uri(self) -> str:
        return f"models:/{self.config.name}@balanced"

    @property
    def rows(self) -> pl.DataFrame:
        """The raw rows of the test split."""
        raw = pl.read_parquet(self.folder / "log" / "*" / "*.parquet")
        return raw.filter(split_by_key(self.config.split, {"train": 0.6, "val": 0.2, "test": 0.2}) == "test")


def registered(folder: Path, name: str) -> Registered:
    """Train one method and register it."""
    overrides = [f"name={name}", f"compare.methods=['{METHODS[name]}']", "compare.boosting=false"]
    places = [f"runs={folder}/runs", f"data.prepared={folder}/prepared", f"data.train={folder}/log/*/*.parquet"]
    config = load_config(folder / "clicks.toml", [*overrides, *places])
    prepared = prepare(config)
    (planned,) = (p for p in plan_networks(config) if p.system != SINGLE_TASK)
    with pytest.MonkeyPatch.context() as patch:
        given = _watched(patch)
        train(planned.config, prepared)
    with Tracker.open(config, prepared, RunGroup.comparison(comparison_fingerprint(config, prepared))) as tracker:
        register(compare(config, prepared, [tracker]), tracker)
    return Registered(config, folder, np.concatenate(given[-1]))


def _watched(patch: pytest.MonkeyPatch) -> list[list[npt.NDArray[np.float32]]]:
    """The probabilities that each evaluation from now on is given, batch by batch; the last is of the test rows."""
    given: list[list[npt.NDArray[np.float32]]] = []
    begin, update = Evaluator.__init__, Evaluator.update

    def begin_watched(self: Evaluator, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        given.append([])

    def update_watched(self: Evaluator, labels: Any, probabilities: Any, *args: Any) -> None:
        given[-1].append(np.array(probabilities))
        update(self, labels, probabilities, *args)

    patch.setattr(Evaluator, "__init__", begin_watched)
    patch.setattr(Evaluator, "update", update_watched)
    return given


Models = Callable[[str], Registered]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A registered model by name; trained when the first test asks for it, once for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "serving"

    def model(name: str) -> Registered:
        folder.mkdir(exist_ok=True)
        with FileLock(folder / ".lock"), pytest.MonkeyPatch.context() as patch:
            if not (folder / "log").exists():
                _write_log(folder)
            if not (folder / name).exists():
                patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
                (folder / name).write_bytes(pickle.dumps(registered(folder, name)))
            found: Registered = pickle.loads((folder / name).read_bytes())
            return found

    return cache(model)


def _write_log(folder: Path) -> None:
    for day in range(3):
        part = folder / "log" / f"dt=2026-01-0{day + 1}" / "part.parquet"
        part.parent.mkdir(parents=True)
        click_log(700, day).write_parquet(part, row_group_size=200)
    optional = CLICKS_TOML.replace('kind = "numeric", clip', 'kind = "numeric", optional = true, clip')
    (folder / "clicks.toml").write_text(optional)


@pytest.fixture(autouse=True)
def _its_store(_own_folder: None, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    store = models("plain").store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)
