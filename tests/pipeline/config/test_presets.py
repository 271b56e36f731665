"""The click log's presets train on a log of their own."""

from __future__ import annotations

import pytest

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Prepared]:
    """The wide preset on a few thousand clicks; fewer rows of the hashed tables, so that the test is small."""
    folder = tmp_path_factory.mktemp("wide")
    generate(Options(rows=7000, users=500, items=200), folder / "log")
    places = [f"data.train={folder}/log/**/*.parquet", f"data.prepared={folder}/prepared", f"runs={folder}/runs"]
    small = [f"spec.features.{name}.buckets=5000" for name in ("user_id", "item_id")]
    steps = ["train.max_steps=4", "train.epochs=1", "train.batch_size=512"]
    config = load_config(ROOT / "configs" / "clicklog-wide.toml", [*places, *small, *steps])
    return config, prepare(config)


def test_the_wide_click_log_is_what_it_says() -> None:
    wide, narrow = (load_config(ROOT / "configs" / f"{name}.toml") for name in ("clicklog-wide", "clicklog"))
    assert wide.model.model_dump()["bottom"] == (1024, 512, 256, 128)
    assert wide.spec.width == 16
    assert wide.train.batch_size >= 2048
    assert (wide.train.table_kernel, wide.train.table_optimizer) == ("fused", "rowwise_adagrad")
    assert wide.spec.features.keys() == narrow.spec.features.keys()
    assert wide.spec.tasks == narrow.spec.tasks


def test_the_wide_click_log_trains_and_its_losses_fall(wide: tuple[RunConfig, Prepared]) -> None:
    config, prepared = wide
    run = train(config, prepared)
    assert run.history[-1].step == 4
    tables = {table.name: table for table in prepared.encoder().tables()}
    assert {table.width for table in tables.values()} == {16}
    assert tables["user_id"].rows == 5003
    # Below that of a model that knows nothing and says 1/2, by log 2.
    assert all(loss < 0.69 for loss in run.history[-1].losses.values())
