"""Shared fixtures: a few rows of real Census-income, a config on them, and a tracking store of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from features.encoder import Encoder
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.training.resolve import load_config

ROOT = Path(__file__).parent.parent
settings.register_profile("gradops", deadline=None)  # a shared machine stalls now and then
settings.load_profile("gradops")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the project, or into another test's tracking store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def debug_config(folder: Path, *overrides: str) -> RunConfig:
    """`configs/debug.toml`, writing into a folder."""
    places = [f"runs={folder}/runs", f"data.prepared={folder}/prepared"]
    places += [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    # Without boosting: a second for each of the many comparisons that are not about it.
    return load_config(ROOT / "configs" / "debug.toml", [*places, "compare.boosting=false", *overrides])


ROLES = {"train": "train", "holdout": "test"}


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Prepared]:
    """A config on a few rows, and the rows prepared. Read only: runs go where the config says, once for all tests."""
    config = debug_config(tmp_path_factory.mktemp("few"))
    return config, prepare(config)


def vocabularies(encoder: Encoder) -> dict[str, tuple[str, ...]]:
    """Table to its known values, in order, to compare."""
    return {table: tuple(values) for table, values in encoder.vocabularies.items()}


def fitted(encoder: Encoder) -> tuple[object, ...]:
    """Everything that an encoder knows, to compare."""
    return encoder.spec, vocabularies(encoder), encoder.scales, encoder.dtypes
