"""Fixtures of the tests of `pipeline`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.run import RunConfig
from pipeline.training.resolve import load_config
from tests.pipeline.clicks import CLICKS_TOML, click_log


@pytest.fixture
def clicks(tmp_path: Path) -> RunConfig:
    """A config on three days of clicks, in the test's own folder."""
    for day in range(3):
        folder = tmp_path / "log" / f"dt=2026-01-0{day + 1}"
        folder.mkdir(parents=True)
        click_log(700, day).write_parquet(folder / "part.parquet", row_group_size=200)
    (tmp_path / "clicks.toml").write_text(CLICKS_TOML)
    return load_config(tmp_path / "clicks.toml")
