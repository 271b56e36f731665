"""Predicted bytes against those of a real model, its optimizer after a step, and its file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from torch import Tensor

from features.encoder import Table
from gradops import MultiTaskOptimizer
from gradops.methods import parse
from models.table_optimizers.names import choices
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.run import RunConfig
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.runs.run import architecture_of
from pipeline.training.build import build_model, embedding_of
from pipeline.training.footprint import Footprint, largest, table_bytes
from pipeline.training.optimizers import optimizer_of
from pipeline.training.resolve import changed_config
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.models import networks

OPTIONS = ("model.tower=[8]", "model.bottom=[24, 16]")


def held(tensor: Tensor | None) -> int:
    if tensor is None:
        return 0
    parts = [tensor._indices(), tensor._values()] if tensor.is_sparse else [tensor]
    return sum(part.numel() * part.element_size() for part in parts)


def footprint(config: RunConfig, prepared: Prepared) -> Footprint:
    return Footprint.of(config, prepared, prepared.encoder().tables())


@pytest.mark.parametrize(("kernel", "name"), [(k, n) for k in ("plain", "fused") for n in choices(k, "cpu")])
def test_it_is_that_of_a_real_step(clicks: RunConfig, kernel: str, name: str) -> None:
    """On lists, crosses and a table that two features share."""
    tables = {"table_kernel": kernel, "table_optimizer": name}
    config = clicks.model_copy(update={"train": clicks.train.model_copy(update=tables)})
    prepared = prepare(config)
    foretold, sparse = footprint(config, prepared), kernel == "plain" and TABLE_OPTIMIZERS[name] is not None
    encoder = prepared.encoder()
    model = build_model(encoder, config.tasks, architecture_of(config), 0, embedding=embedding_of(encoder, config))
    optimizer = MultiTaskOptimizer(optimizer_of(model, config.train), parse("pcgrad"), shared=model.shared_parameters())
    (batch, *_) = Batches(prepared.folder / "train", config.spec, config.tasks, batch_size=128).in_order()
    found = networks.passed(model, batch.bags, batch.value_BV, batch.labels_BT)
    optimizer.step(found.losses_T, features=found.views, pooled=found.cut)
    assert foretold.weights == sum(held(p) for p in model.parameters())
    assert foretold.state == sum(held(value) for state in optimizer.state.values() for value in state.values())
    gradients = sum(held(p.grad) for p in model.parameters())
    if sparse:
        # What is foretold holds the gradient summed by row beside it; lists are as long as they are on average.
        assert 0.8 * gradients < foretold.gradients < 2.5 * gradients
    else:
        assert foretold.gradients == gradients


def test_the_file_is_as_large_as_foretold(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = debug_config(tmp_path, *OPTIONS, f"data.prepared={few[0].data.prepared}")
    foretold = footprint(config, few[1])
    header = (train(config, few[1]).folder / "weights.safetensors").stat().st_size - foretold.disk
    assert 0 < header < 10_000


def test_checkpoints_are_as_large_as_foretold(
    tmp_path: Path, few: tuple[RunConfig, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most, while the third is there already and the first still: with the best weights and Adam's state."""
    options = ("train.max_steps=0", "train.epochs=5", "train.checkpoint_every=16", "model.bottom=[2048, 192]")
    config = debug_config(tmp_path, *options, f"data.prepared={few[0].data.prepared}")
    held_at_once, remove = [0], shutil.rmtree

    def removing(path: Path, ignore_errors: bool = False) -> None:
        held_at_once.append(sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file()))
        remove(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", removing)
    train(config, few[1])
    assert max(held_at_once) == pytest.approx(footprint(config, few[1]).checkpoints, rel=0.1)


def test_the_reader_holds_windows_of_what_was_encoded(clicks: RunConfig) -> None:
    prepared = prepare(clicks)
    bytes_of = {}
    for split in ("train", "val", "test"):
        window = Window.of(pl.read_parquet(prepared.folder / split / "*.parquet"), clicks.spec, clicks.tasks)
        lists = [held(part) for e in window.entries.values() for part in (e.ids_E, e.begin_M, e.weight_E)]
        bytes_of[split] = sum(map(held, (window.ids_FN, window.value_NV, window.labels_NT))) + sum(lists)
    held_at_most = 4 * bytes_of["train"] + bytes_of["val"] + bytes_of["test"]
    assert footprint(clicks, prepared).reader == pytest.approx(held_at_most, rel=0.5)


def test_what_grows_with_what(few: tuple[RunConfig, Prepared]) -> None:
    config, prepared = few
    tables = prepared.encoder().tables()
    larger = [replace(tables[0], rows=tables[0].rows + 1000), *tables[1:]]
    one, two = (Footprint.of(config, prepared, t) for t in (tables, larger))
    more = 1000 * tables[0].width * 4
    assert (two.weights - one.weights, two.state - one.state) == (more, 2 * more)
    assert (two.gradients - one.gradients, two.copies - one.copies, two.disk - one.disk) == (more, 2 * more, more)
    assert two.staged - one.staged == 3 * more
    assert two.checkpoints - one.checkpoints == 3 * 4 * more  # weights, best weights and two moments, three times
    assert (two.reader, two.step) == (one.reader, one.step)
    batch = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": 256})})
    larger_step = Footprint.of(batch, prepared, tables).step
    assert larger_step > one.step
    pieces = batch.model_copy(update={"train": batch.train.model_copy(update={"micro_batch": 32})})
    assert Footprint.of(pieces, prepared, tables).step < larger_step


def test_a_moving_average_is_a_copy_of_the_weights_and_keeps_another_while_it_is_evaluated(
    few: tuple[RunConfig, Prepared],
) -> None:
    one, two = footprint(*few), footprint(few[0].changed({"train.ema": 0.999}), few[1])
    assert (one.average, two.average) == (0, two.weights)
    assert (two.memory - one.memory, two.copies - one.copies) == (3 * two.weights, two.weights)
    assert two.staged - one.staged == two.weights
    assert two.checkpoints - one.checkpoints == 3 * two.weights


def test_a_copy_of_what_a_step_changes_is_written_while_steps_go_on(few: tuple[RunConfig, Prepared]) -> None:
    behind, waiting = footprint(*few), footprint(few[0].changed({"train.async_checkpoints": False}), few[1])
    assert behind.staged == behind.weights + behind.state
    assert waiting == replace(behind, staged=0)


def test_the_largest_tables_are_those_with_most_weights() -> None:
    tables = [Table("a", 10, 4, ()), Table("b", 5, 64, ()), Table("c", 100, 1, ())]
    assert [table.name for table in largest(tables, 2)] == ["b", "c"]


def test_ranks_of_a_machine_share_the_tables(clicks: RunConfig) -> None:
    """What is no table every rank has for itself; the first also makes the file of whole ones."""
    prepared = prepare(clicks)
    tables = prepared.encoder().tables()
    alone = Footprint.on_ranks(clicks, prepared, tables, 1, 1)
    assert alone == footprint(clicks, prepared)
    of_tables = sum(map(table_bytes, tables))
    divided = changed_config(clicks, {"sharding.data_parallel_below": 0})
    here = Footprint.on_ranks(divided, prepared, tables, 2, 8)
    assert here.weights == 2 * (alone.weights - of_tables) + of_tables / 4
    assert here.copies == here.weights + alone.weights
    assert here.disk == alone.disk
    assert here.staged == here.weights + here.state
    copied = Footprint.on_ranks(clicks, prepared, tables, 2, 8)
    assert (copied.weights, copied.state) == (2 * alone.weights, 2 * alone.state)
    assert copied.step < alone.step, "of a quarter of the rows"
