"""GAUC over a raw column: encoded, read for evaluation alone, and what a loop over the raw rows finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.config.split import split_by_key
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.evaluation.metrics import Evaluator
from pipeline.evaluation.ranking import NO_GROUP
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.pipeline.clicks import CLICKS_TOML, click_log, served_with_test_rows


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A log of 20 shoppers, an eighth of the rows without one."""
    (tmp_path / "log" / "all").mkdir(parents=True)
    rows = click_log(2000, 0).with_columns(shopper=pl.when(pl.col("click") % 8 > 0).then(pl.col("click") * 7919 % 20))
    rows.write_parquet(tmp_path / "log" / "all" / "part.parquet")
    (tmp_path / "clicks.toml").write_text(CLICKS_TOML.replace("[spec]\n", '[spec]\ngroup = "shopper"\n'))
    return load_config(tmp_path / "clicks.toml")


def test_a_run_has_the_gauc_that_a_loop_over_its_test_rows_finds(config: RunConfig) -> None:
    prepared = prepare(config)
    run = train(config, prepared)
    scorer, rows = served_with_test_rows(config, prepared, run)
    scored = rows.with_columns(score=scorer.score(rows).get_column("wish"))
    areas, sizes = [], []
    for (shopper,), group in scored.group_by("shopper"):
        if shopper is not None and group.get_column("wished").n_unique() == 2:
            areas.append(roc_auc_score(group.get_column("wished"), group.get_column("score")))
            sizes.append(group.height)
    # Scores of another batch may round otherwise, and two rows that all but tie change places.
    assert run.test["wish"]["gauc"] == pytest.approx(np.average(areas, weights=sizes), abs=1e-3)
    assert run.test["wish"]["gauc_share"] == 1
    assert "gauc" in json.loads((run.folder / "result.json").read_text())["history"][0]["val"]["purchase"]


def test_groups_are_read_in_order_alone_and_rows_without_one_have_none(config: RunConfig, tmp_path: Path) -> None:
    source = Batches(prepare(config).folder / "train", config.spec, ["wish"], batch_size=64)
    assert all(batch.group_B is None for batch in source.epoch(0))
    found = np.concatenate([batch.group_B for batch in source.in_order() if batch.group_B is not None])
    raw = pl.read_parquet(tmp_path / "log" / "*" / "*.parquet")
    shoppers = raw.filter(split_by_key(config.split, {"train": 0.6, "val": 0.2, "test": 0.2}) == "train").get_column(
        "shopper"
    )
    assert ((found == NO_GROUP) == shoppers.is_null().to_numpy()).all()
    known = pl.DataFrame({"shopper": shoppers, "group": found}).drop_nulls()
    assert known.n_unique() == known.get_column("shopper").n_unique() == known.get_column("group").n_unique() == 20


def test_rows_without_a_group_count_in_every_metric_but_gauc() -> None:
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 2, (500, 1)).astype(float), draw.random((500, 1))
    groups = draw.choice([NO_GROUP, -3, 0, 4], 500)
    some, none = groups != NO_GROUP, np.full(500, NO_GROUP)
    results = []
    for kept, given in ((np.full(500, True), groups), (some, groups[some]), (np.full(500, True), none)):
        evaluator = Evaluator(["task"])
        evaluator.update(labels[kept], scores[kept], given)
        results.append(evaluator.result()["task"])
    assert results[0]["gauc"] == results[1]["gauc"]
    assert results[0]["auc"] == results[2]["auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(results[2]["gauc"])


@pytest.mark.parametrize(
    ("group", "message"),
    [("shoper", "`shoper` (the group of GAUC) is missing"), ("seen", "`seen` (the group of GAUC) holds List(Int64);")],
)
def test_a_group_that_is_no_column_of_single_values_is_refused(
    config: RunConfig, tmp_path: Path, group: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        prepare(load_config(tmp_path / "clicks.toml", [f"spec.group={group}"]))
    assert message in str(error.value)
