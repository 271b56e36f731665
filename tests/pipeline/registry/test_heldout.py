"""Held-out raw rows, scored by models with encoders of their own."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import polars as pl
import polars.testing
import pytest
import torch

from features.errors import InputError
from pipeline.comparison.scores import TestRows
from pipeline.config.run import RunConfig
from pipeline.data import chunks
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import task_metrics
from pipeline.registry.heldout import held_out
from pipeline.runs.run import WEIGHTS, Run
from pipeline.serving.kinds.network import Network, NetworkContent
from pipeline.serving.scorer import Scorer
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from pipeline.validation.layout import Layout
from pipeline.validation.raw_data import find_raw_files
from tests.pipeline.shop import TOML, clicks


def scorer_of(config: RunConfig, prepared: Prepared, run: Run, folder: Path) -> Scorer:
    encoder, weights = prepared.folder / "encoder", run.folder / WEIGHTS
    packed = NetworkContent.packed(weights=weights, tasks=run.tasks, architecture=run.architecture)
    Scorer.write(folder, encoder=encoder, packed=packed)
    return Scorer.load(folder)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[RunConfig, Prepared, Run, Scorer]]:
    """Two logs, of which the second knows half of the items, in other places; a model of each."""
    folder, found = tmp_path_factory.mktemp("logs"), []
    few = clicks(1500, 1).filter(pl.col("item").str.ends_with("1").not_()).reverse()
    for log, rows in (("log", clicks(1500)), ("few", few)):
        (folder / log).mkdir()
        for part, piece in enumerate(rows.iter_slices(500)):
            piece.write_parquet(folder / log / f"{part}.parquet")
        (folder / f"{log}.toml").write_text(TOML.format(folder=folder, log=log))
        config = load_config(folder / f"{log}.toml", ["train.epochs=1"])
        prepared = prepare(config)
        run = train(config, prepared)
        found.append((config, prepared, run, scorer_of(config, prepared, run, folder / f"{log}.scorer")))
    return found


Shops = list[tuple[RunConfig, Prepared, Run, Scorer]]


def test_they_are_the_test_rows_each_scored_as_in_its_own_evaluation(shops: Shops) -> None:
    config, prepared, run, scorer = shops[0]
    found = held_out(config, prepared, [scorer], 10_000)
    test = pl.read_parquet(prepared.folder / "test" / "*.parquet")
    assert found.labels.rows() == test.select("label.buy", "label.wish").rows()
    assert found.unit_N is not None
    assert found.unit_N.tolist() == test.get_column("group").to_list()
    for task, metrics in task_metrics(found.labels.to_numpy(), found.scores[0].to_numpy(), run.tasks).items():
        assert metrics["logloss"] == pytest.approx(run.test[task]["logloss"], rel=1e-5)
        assert metrics["auc"] == pytest.approx(run.test[task]["auc"], abs=1e-6)


def test_the_other_model_scores_through_its_own_encoder(shops: Shops) -> None:
    (config, prepared, _, scorer), (*_, other) = shops
    assert set(other.encoder.vocabularies["item"]) < set(scorer.encoder.vocabularies["item"])
    found = held_out(config, prepared, [scorer, other], 10_000)
    reading = chunks.Reading.of(config.spec, config.split, Layout.read(config, find_raw_files(config)))
    raw = pl.concat(
        chunk.read(reading).get("test", pl.DataFrame())
        for path in sorted(Path(config.data.train).parent.glob("*.parquet"))
        for chunk in chunks.split_into_chunks("train", path, path.stem)
    )
    expected = other.score(raw).cast(pl.Float32)
    polars.testing.assert_frame_equal(found.scores[1], expected, abs_tol=1e-6)


def test_pieces_do_not_change_what_is_found(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    config, prepared, _, scorer = shops[0]
    whole = held_out(config, prepared, [scorer], 10_000)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 130)
    pieces = held_out(config, prepared, [scorer], 10_000, at_a_time=17)
    polars.testing.assert_frame_equal(pieces.labels, whole.labels)
    polars.testing.assert_frame_equal(pieces.scores[0], whole.scores[0], abs_tol=1e-6)
    assert pieces.unit_N is not None
    assert whole.unit_N is not None
    assert np.array_equal(pieces.unit_N, whole.unit_N)


def test_of_many_rows_whole_groups_are_taken(shops: Shops) -> None:
    config, prepared, _, scorer = shops[0]
    every, some = (held_out(config, prepared, [scorer], limit) for limit in (10_000, 200))
    assert every.unit_N is not None
    assert some.unit_N is not None
    taken = np.isin(every.unit_N, some.unit_N)
    assert 0.5 < taken.sum() / 200 < 1.5
    polars.testing.assert_frame_equal(some.labels, every.labels.filter(taken))
    polars.testing.assert_frame_equal(some.scores[0], every.scores[0].filter(taken), abs_tol=1e-6)


@pytest.mark.parametrize("limit", [10_000, 200, 70])
def test_the_gate_and_a_comparison_take_the_same_rows(shops: Shops, limit: int) -> None:
    config, prepared, _, scorer = shops[0]
    gate, comparison = held_out(config, prepared, [scorer], limit), TestRows(prepared, limit)
    labels_NT = gate.labels.select(pl.all().cast(pl.Float32).fill_null(float("nan"))).to_numpy()
    np.testing.assert_array_equal(labels_NT, comparison.labels(gate.labels.columns))
    np.testing.assert_array_equal(gate.unit_N, comparison.unit_N)


def test_of_few_groups_so_few_rows_may_be_none(shops: Shops) -> None:
    config, _, _, scorer = shops[0]
    spec = config.spec.model_copy(update={"group": "bought"})
    prepared = prepare(config.model_copy(update={"spec": spec}))
    with pytest.raises(InputError, match=r"`gate.rows` = 1 keeps one in \d+ groups .*; raise `gate.rows`"):
        held_out(config, prepared, [scorer], 1)


def test_a_model_that_cannot_score_the_rows_keeps_none_from_it(shops: Shops) -> None:
    config, prepared, _, scorer = shops[0]
    spoilt = Scorer(scorer.encoder, copy.deepcopy(scorer.predictor), scorer.tasks, "")
    assert isinstance(spoilt.predictor, Network)
    for weight in spoilt.predictor.model.parameters():
        weight.fill_(torch.nan)  # as sums of numbers that are near float32's end may be
    found = held_out(config, prepared, [scorer, spoilt], 10_000, at_a_time=200)
    assert found.scores[0].height == len(found)
    assert (found.scores[1].columns, found.scores[1].height) == (["buy", "wish"], 0)
    assert list(found.unscored) == [1]
    assert "beyond float32" in found.unscored[1]


def test_a_column_that_a_model_reads_and_the_rows_lack(shops: Shops, tmp_path: Path) -> None:
    """The champion's spec had a feature that the config no longer has."""
    config, _, _, scorer = shops[0]
    (tmp_path / "log").mkdir()
    clicks(1500).drop("price").write_parquet(tmp_path / "log" / "0.parquet")
    spec = config.spec.model_copy(update={"features": {"item": config.spec.features["item"]}})
    data = config.data.model_copy(update={"train": str(tmp_path / "log"), "prepared": tmp_path / "prepared"})
    changed = config.model_copy(update={"spec": spec, "data": data})
    with pytest.raises(InputError, match="lacks columns that a registered model reads: 1 problem"):
        held_out(changed, prepare(changed), [scorer], 10_000)


def test_by_days_they_are_those_of_the_last(shops: Shops, tmp_path: Path) -> None:
    """The candidate is of another day's data, so that nothing but its files says how it reads the rows."""
    scorer, day = shops[0][3], pl.date(2026, 1, 1) + pl.duration(days=pl.col("click") // 300)
    (tmp_path / "log").mkdir()
    clicks(1500).with_columns(day=day).write_parquet(tmp_path / "log" / "0.parquet")
    by_days = 'time = "day"\nvalidation = 2026-01-04\ntest = 2026-01-05'
    toml = TOML.format(folder=tmp_path, log="log").replace('key = "click"\nvalidation = 0.2\ntest = 0.4', by_days)
    (tmp_path / "days.toml").write_text(toml)
    config = load_config(tmp_path / "days.toml")
    found = held_out(config, prepare(config), [scorer], 10_000)
    expected = scorer.score(clicks(1500).tail(300)).cast(pl.Float32)
    polars.testing.assert_frame_equal(found.scores[0], expected, abs_tol=1e-6)
