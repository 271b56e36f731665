"""Splitting, fitting on training rows only, and folders that are complete or absent."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig, split_by_key
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from tests.conftest import ROOT, debug_config

TEST_FILE = ROOT / "tests" / "data" / "census" / "test.parquet"


def test_splits_and_counts(few: tuple[RunConfig, Prepared]) -> None:
    _, prepared = few
    splits = prepared.manifest["splits"]
    assert splits["train"]["rows"] == 2000
    assert splits["val"]["rows"] + splits["test"]["rows"] == 1500
    assert abs(splits["val"]["rows"] - 750) < 100
    raw = pl.read_parquet(TEST_FILE)
    positives = sum(splits[s]["tasks"]["marital"]["positives"] for s in ("val", "test"))
    assert positives == raw.filter(pl.col("marital_stat") == "Never married").height


def test_the_hash_is_version_stable() -> None:
    """Fixed values: if a library changes them, every split in the world would move without a word."""
    rows = pl.DataFrame({"k": [0, 1, 2, 3, 4, None]})
    sides = rows.select(split_by_key(SplitConfig(key="k", seed=0), {"val": 0.5, "test": 0.5}).alias("s")).to_series()
    assert sides.to_list() == FIXED
    empty = pl.DataFrame({"t": [""]}).select(pl.col("t").nchash.xxhash64())  # type: ignore[attr-defined]  # a plugin's
    assert empty.item() == 0xEF46DB3751D8E999  # the algorithm's published value for no bytes at all


FIXED = ["val", "val", "test", "val", "val", "test"]


def test_a_key_is_on_one_side_and_another_seed_moves_it() -> None:
    rows = pl.DataFrame({"k": [f"user {i % 500}" for i in range(5000)]})
    shares = {"train": 0.6, "val": 0.3, "test": 0.1}
    sides = [rows.select(pl.col("k"), s=split_by_key(SplitConfig(key="k", seed=seed), shares)) for seed in (0, 1)]
    assert sides[0].group_by("k").agg(pl.col("s").n_unique()).get_column("s").max() == 1
    assert not sides[0].equals(sides[1])
    found = dict(sides[0].unique().get_column("s").value_counts().iter_rows())
    assert found["train"] > found["val"] > found["test"] > 20


def test_equal_inputs_are_prepared_once(tmp_path: Path) -> None:
    first = prepare(debug_config(tmp_path))
    written = (first.folder / "manifest.json").stat().st_mtime_ns
    # What is trained does not change what is prepared.
    again = prepare(debug_config(tmp_path, "train.lr=1", "model.dropout=0"))
    assert again.folder == first.folder
    assert (again.folder / "manifest.json").stat().st_mtime_ns == written
    assert prepare(debug_config(tmp_path, "split.seed=1")).folder != first.folder
    assert prepare(debug_config(tmp_path, "spec.features.age.buckets=8")).folder != first.folder


def test_a_vocabulary_holds_training_values_only(few: tuple[RunConfig, Prepared]) -> None:
    config, prepared = few
    rows = pl.read_parquet(config.data.train)
    for feature, known in prepared.encoder().vocabularies.items():
        assert set(known) == set(rows.get_column(feature).drop_nulls().cast(pl.String))


def test_one_file_is_split_three_ways(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "census.toml").read_text()
    text = text.replace('train = "data/census/train.parquet"', f'train = "{TEST_FILE}"')
    text = text.replace('holdout = "data/census/test.parquet"\n', f'prepared = "{tmp_path}/prepared"\n')
    text = text.replace("validation = 0.5\ntest = 0.5", "validation = 0.2\ntest = 0.2")
    (tmp_path / "one.toml").write_text(text)
    from pipeline.training.resolve import load_config

    splits = prepare(load_config(tmp_path / "one.toml")).manifest["splits"]
    assert sum(s["rows"] for s in splits.values()) == 1500
    assert splits["train"]["rows"] > 800


def test_bad_raw_data_writes_nothing(tmp_path: Path) -> None:
    broken = pl.read_parquet(TEST_FILE).drop("age", "sex").with_columns(weeks_worked=pl.lit("many"))
    broken.write_parquet(tmp_path / "broken.parquet")
    with pytest.raises(InputError) as error:
        prepare(debug_config(tmp_path, f"data.holdout={tmp_path}/broken.parquet"))
    assert "raw data does not fit the config: 3 problem(s)" in str(error.value)
    for part in ("`age`", "`sex`", "`weeks_worked`"):
        assert part in str(error.value)
    assert not list((tmp_path / "prepared").glob("*/"))


def test_a_split_with_one_class_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    rows = pl.read_parquet(TEST_FILE).with_columns(income_50k=pl.lit("- 50000."))
    rows.write_parquet(tmp_path / "poor.parquet")
    with pytest.raises(InputError, match="`income` has 0 positives"):
        prepare(debug_config(tmp_path, f"data.holdout={tmp_path}/poor.parquet"))
    assert not list((tmp_path / "prepared").glob("*/"))


def test_every_problem_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    rows = pl.read_parquet(TEST_FILE)
    rows.write_parquet(tmp_path / "a.parquet")
    rows.with_columns(pl.col("age").cast(pl.String)).drop("sex").write_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_text("no parquet")
    with pytest.raises(InputError) as error:
        prepare(debug_config(tmp_path, f"data.holdout={tmp_path}/*.parquet", f"data.train={tmp_path}/a.parquet"))
    for part in (
        "b.parquet differs",
        "`age` is String, not Int64",
        "`sex` is no column, not String",
        "c.parquet is not a",
    ):
        assert part in str(error.value)
    assert "a.parquet is in data.train and in data.holdout" in str(error.value)


@pytest.mark.parametrize(
    ("allowed", "message"), [("false", "empty.parquet has no rows"), ("true", "train has no rows")]
)
def test_a_table_without_rows_is_called_that(tmp_path: Path, allowed: str, message: str) -> None:
    pl.read_parquet(TEST_FILE).clear().write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(InputError, match=message):
        prepare(debug_config(tmp_path, f"data.train={tmp_path}/empty.parquet", f"contract.empty_days={allowed}"))


def test_the_order_of_tasks_is_part_of_what_data_is(few: tuple[RunConfig, Prepared]) -> None:
    config = few[0]
    swapped = dict(reversed(config.spec.tasks.items()))
    other = config.model_copy(update={"spec": config.spec.model_copy(update={"tasks": swapped})})
    assert prepare(other).folder != few[1].folder


def test_missing_files_name_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.train(?s:.*)relative to(?s:.*)gradops fetch census"):
        prepare(debug_config(tmp_path, "data.train=nowhere/census/*.parquet"))


def test_an_interrupted_folder_is_not_taken_for_a_complete_one(tmp_path: Path) -> None:
    prepared = prepare(debug_config(tmp_path))
    next((prepared.folder / "val").iterdir()).unlink()
    again = prepare(debug_config(tmp_path))
    assert json.loads((again.folder / "manifest.json").read_text()) == prepared.manifest
