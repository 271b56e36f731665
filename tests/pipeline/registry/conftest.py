"""Fixtures of the registry's tests: a registry of three versions, made once, and a copy for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.data.prepare import prepare
from pipeline.training.resolve import load_config
from tests.pipeline.shop import TOML, Shop, clicks, trained


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        for log in ("log", "wrong"):
            (folder / log).mkdir()
            clicks(wrong=log == "wrong").write_parquet(folder / log / "part.parquet")
            (folder / f"{log}.toml").write_text(TOML.format(folder=folder, log=log))
        config = load_config(folder / "log.toml")
        assert trained(load_config(folder / "log.toml", ["train.max_steps=20"])) == 1
        assert trained(config) == 2
        assert trained(load_config(folder / "wrong.toml")) == 3
        yield Shop(folder, config, prepare(config))


@pytest.fixture
def shop(registered: Shop, tmp_path: Path) -> Shop:
    """A registry of the test's own."""
    shutil.copy(registered.folder / "mlflow.db", tmp_path / "mlflow.db")
    return registered
