"""Sample weights and task weights from the raw table to the run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.config.split import split_by_key
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.runs.run import Run, run_folder
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.pipeline.clicks import CLICKS_TOML, click_log

NETWORK = "model.dropout=0"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A log whose rows weigh 0 or 1 in `kept`, and something else in `worth`."""
    (tmp_path / "log" / "all").mkdir(parents=True)
    worth = [1.5, 0.25, 0.0, 1e30]
    rows = click_log(2000, 0).with_columns(
        kept=(pl.col("click") * 7919 % 3 > 0).cast(pl.Int8),
        worth=pl.Series([worth[i % len(worth)] for i in range(2000)]),
    )
    rows.write_parquet(tmp_path / "log" / "all" / "part.parquet")
    (tmp_path / "clicks.toml").write_text(CLICKS_TOML)
    return load_config(tmp_path / "clicks.toml")


def trained(folder: Path, *overrides: str) -> Run:
    config = load_config(folder / "clicks.toml", [NETWORK, *overrides])
    return train(config, prepare(config))


def test_training_with_weights_of_0_and_1_is_training_without_the_rows_of_weight_0(
    config: RunConfig, tmp_path: Path
) -> None:
    even = "train.prior_bias=false"  # a prevalence counts rows, whatever they weigh
    weighted = trained(tmp_path, even, "spec.tasks.wish.sample_weight=kept").history[0]
    dropped = trained(tmp_path, even, "spec.tasks.wish.where=kept = 1").history[0]
    plain = trained(tmp_path, even).history[0]
    assert weighted.losses == pytest.approx(dropped.losses, rel=1e-5)  # sums in another order
    assert weighted.losses["wish"] != pytest.approx(plain.losses["wish"], rel=1e-4)


def test_a_tasks_weight_is_that_of_the_static_method(config: RunConfig, tmp_path: Path) -> None:
    """But for the towers, whose gradients the method leaves as they are; Adam does not see their length."""
    weighted = trained(tmp_path, "spec.tasks.purchase.weight=4")
    static = trained(tmp_path, "train.method=static(weight=(4, 1))")
    plain = trained(tmp_path)
    assert weighted.folder != plain.folder
    assert weighted.history[0].losses == pytest.approx(static.history[0].losses, rel=1e-4)
    assert weighted.history[0].losses["wish"] != pytest.approx(plain.history[0].losses["wish"], rel=1e-4)


def test_another_task_weight_is_another_run_on_the_same_data(config: RunConfig, tmp_path: Path) -> None:
    other = load_config(tmp_path / "clicks.toml", ["spec.tasks.wish.weight=0.5"])
    prepared = prepare(config)
    assert prepare(other).folder == prepared.folder
    assert run_folder(other, prepared) != run_folder(config, prepared)
    # A run without the task does not know its weight.
    tasks = "train.tasks=['purchase']"
    alone, other = (
        load_config(tmp_path / "clicks.toml", [tasks, *more]) for more in ([], ["spec.tasks.wish.weight=0.5"])
    )
    assert run_folder(other, prepared) == run_folder(alone, prepared)


def test_batches_have_weights_only_to_train_and_only_if_a_task_does(config: RunConfig, tmp_path: Path) -> None:
    weighted = load_config(tmp_path / "clicks.toml", ["spec.tasks.wish.sample_weight=worth"])
    folder = prepare(weighted).folder / "train"
    source = Batches(folder, weighted.spec, ["purchase", "wish"], batch_size=64)
    assert all(batch.weight_BT is None for batch in source.in_order())
    assert all(b.weight_BT is None for b in Batches(folder, weighted.spec, ["purchase"], batch_size=64).epoch(0))
    found = torch.cat([batch.weight_BT for batch in source.epoch(0) if batch.weight_BT is not None])
    assert (found[:, 0] == 1).all()
    raw = pl.read_parquet(tmp_path / "log" / "*" / "*.parquet")
    rows = raw.filter(split_by_key(config.split, {"train": 0.6, "val": 0.2, "test": 0.2}) == "train")
    assert sorted(found[:, 1].tolist()) == sorted(rows.get_column("worth").cast(pl.Float32))


def test_weights_that_are_no_numbers_are_all_named(config: RunConfig, tmp_path: Path) -> None:
    overrides = ["spec.tasks.wish.sample_weight=viewed", "spec.tasks.purchase.sample_weight=wroth"]
    with pytest.raises(InputError) as error:
        prepare(load_config(tmp_path / "clicks.toml", overrides))
    for part in ("`viewed` (sample weight of task `wish`) holds Boolean", "`wroth` (sample weight of task `purchase`)"):
        assert part in str(error.value)


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "nan"])
def test_a_task_weight_is_positive(config: RunConfig, tmp_path: Path, weight: str) -> None:
    with pytest.raises(InputError, match=r"spec\.tasks\.wish\.weight: should be a (finite number|number above 0)"):
        load_config(tmp_path / "clicks.toml", [f"spec.tasks.wish.weight={weight}"])
