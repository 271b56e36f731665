"""A click log with every kind of feature: prepared in chunks, trained, and served as it was trained."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import polars.testing
import pytest
import torch

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data import chunks
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.evaluation.multitask import task_metrics
from pipeline.training.resolve import load_config
from pipeline.training.training import train
from tests.conftest import vocabularies
from tests.pipeline.clicks import click_log, served_with_test_rows


@pytest.fixture
def config(clicks: RunConfig) -> RunConfig:
    return clicks


def test_what_is_trained_is_what_is_served(config: RunConfig) -> None:
    prepared = prepare(config)
    run = train(config, prepared)
    scorer, rows = served_with_test_rows(config, prepared, run)
    scores = scorer.score(rows)
    source = Batches(prepared.folder / "test", config.spec, run.tasks, batch_size=64)
    labels = torch.cat([batch.labels_BT for batch in source.in_order()]).numpy()
    assert np.isnan(labels[:, 0]).mean() == pytest.approx(0.2, abs=0.08)
    for task, metrics in task_metrics(labels, scores.to_numpy(), run.tasks).items():
        assert metrics["logloss"] == pytest.approx(run.test[task]["logloss"], rel=1e-5)
    alone = scorer.score(rows.head(1))
    np.testing.assert_allclose(alone.to_numpy(), scores.head(1).to_numpy(), atol=1e-6)


def test_chunks_do_not_change_what_is_prepared(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(config)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 150)
    other = config.model_copy(update={"data": config.data.model_copy(update={"prepared": tmp_path / "chunked"})})
    chunked = prepare(other)
    assert vocabularies(chunked.encoder()) == vocabularies(whole.encoder())
    for split in ("train", "val", "test"):
        frames = [pl.read_parquet(p.folder / split / "*.parquet") for p in (whole, chunked)]
        assert len(list((chunked.folder / split).iterdir())) > len(list((whole.folder / split).iterdir()))
        pl.testing.assert_frame_equal(*frames, rel_tol=1e-6)


def test_days_train_validate_and_test(config: RunConfig, tmp_path: Path) -> None:
    text = (tmp_path / "clicks.toml").read_text()
    by_time = 'time = "at"\nvalidation = 2026-01-02\ntest = 2026-01-03'
    (tmp_path / "days.toml").write_text(text.replace('key = "click"\nvalidation = 0.2\ntest = 0.2', by_time))
    splits = prepare(load_config(tmp_path / "days.toml")).manifest["splits"]
    assert [splits[name]["rows"] for name in ("train", "val", "test")] == [700, 700, 700]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("split.time=at", "give one of the two"),
        ("split.validation=2026-01-02", "are shares between 0 and 1, not days"),
    ],
)
def test_a_split_is_by_key_or_by_time(config: RunConfig, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(tmp_path / "clicks.toml", [override])


def test_a_row_without_a_time_is_refused(config: RunConfig, tmp_path: Path) -> None:
    late = click_log(50, 0).with_columns(pl.when(pl.col("click") > 10).then("at").alias("at"))
    late.write_parquet(tmp_path / "log" / "dt=2026-01-01" / "late.parquet")
    text = (tmp_path / "clicks.toml").read_text()
    by_time = 'time = "at"\nvalidation = 2026-01-02\ntest = 2026-01-03'
    (tmp_path / "days.toml").write_text(text.replace('key = "click"\nvalidation = 0.2\ntest = 0.2', by_time))
    with pytest.raises(InputError, match="`at` decides the split and is null in 11 rows"):
        prepare(load_config(tmp_path / "days.toml"))


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_killed_prepare_is_completed_and_the_same_byte_for_byte(
    config: RunConfig, tmp_path: Path, after: int
) -> None:
    """Killed once so many chunks are done: before the fit, in its middle, and while encoding."""
    code = (
        "import sys; from pathlib import Path; from pipeline.data import chunks, prepare\n"
        "from pipeline.training.resolve import load_config\n"
        "chunks.CHUNK_ROWS = 150\n"
        "prepare.prepare(load_config(Path(sys.argv[1]), [sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "clicks.toml"), f"data.prepared={tmp_path}/killed"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = subprocess.Popen(command, env=environment, start_new_session=True)
    end = time.monotonic() + 120
    while started.poll() is None and len(list((tmp_path / "killed").glob(".*.draft/.done/*"))) < after:
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    for draft in (tmp_path / "killed").glob(".*.draft"):
        # What a process killed while it writes leaves behind; at a random moment that is rare.
        (draft / "train").mkdir(exist_ok=True)
        (draft / "train" / ".part-train-00000-0000.parquet.1.draft").write_text("half a file")
        (draft / ".encoder.1.draft").mkdir()
    for prepared_in in ("killed", "unbroken"):
        override = f"data.prepared={tmp_path}/{prepared_in}"
        subprocess.run([*command[:-1], override], env=environment, check=True)
    (killed,), (unbroken,) = (list((tmp_path / name).glob("[!.]*/")) for name in ("killed", "unbroken"))
    assert killed.name == unbroken.name
    assert digests(killed) == digests(unbroken)
    assert not list((tmp_path / "killed").glob(".*.draft"))


def test_an_epoch_goes_on_where_it_was_left(config: RunConfig) -> None:
    prepared = prepare(config)
    source = Batches(prepared.folder / "train", config.spec, ["wish"], batch_size=50, window=300)
    whole = list(source.epoch(2))
    for skip in (0, 1, 6, 7, 20, len(whole)):
        rest = list(source.epoch(2, skip=skip))
        assert len(rest) == len(whole) - skip
        for ours, theirs in zip(rest, whole[skip:], strict=True):
            assert torch.equal(ours.bags.ids_N, theirs.bags.ids_N)
            assert torch.equal(ours.value_BV, theirs.value_BV)


def test_bags_hold_what_the_file_holds(config: RunConfig) -> None:
    prepared = prepare(config)
    source = Batches(prepared.folder / "val", config.spec, ["wish"], batch_size=37)
    frame = pl.read_parquet(prepared.folder / "val" / "*.parquet")
    start = 0
    for batch in source.in_order():
        rows = frame[start : start + len(batch.value_BV)]
        start += rows.height
        place, entry = 0, 0
        assert batch.bags.weight_N is not None
        for name in config.spec.id_features:
            for value, weight in zip(rows[f"id.{name}"], _weights(config, rows, name), strict=True):
                ids = [value] if isinstance(value, int) else value.to_list()
                length = int(batch.bags.lengths_FB[place])
                assert batch.bags.ids_N[entry : entry + length].tolist() == ids
                assert batch.bags.weight_N[entry : entry + length].tolist() == pytest.approx(weight)
                place, entry = place + 1, entry + length
        assert place == len(batch.bags.lengths_FB)
        assert entry == len(batch.bags.ids_N)
    assert start == frame.height


def _weights(config: RunConfig, rows: pl.DataFrame, name: str) -> list[list[float]]:
    """Given ones, equal shares of a mean, or 1."""
    if f"weight.{name}" in rows.columns:
        return rows[f"weight.{name}"].to_list()
    declared = config.spec.features[name]
    if not declared.is_multi_hot:
        return [[1.0]] * rows.height
    return [[1 / len(ids) if declared.is_mean else 1.0] * len(ids) for ids in rows[f"id.{name}"]]
