"""Models served with tables in fewer bits: every way of scoring gives the same, and nothing is mixed in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.table_precision import tables_notes
from models.embedding.precisions import FLOAT32, Precision
from pipeline.serving.export.exported import FROM_FLOAT32, export
from pipeline.serving.kinds.ensemble import Ensemble
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.drawn import EXAMPLES, TASKS, network, scorer_of
from tests.pipeline.serving.test_candidates import SHARED, rows, split_and_whole
from tests.pipeline.serving.test_encoding import made

REDUCED: list[Precision] = ["bfloat16", "int8"]


@pytest.mark.parametrize("precision", REDUCED)
def test_candidates_are_scored_as_their_rows_are(precision: Precision) -> None:
    encoder = made()
    scorers = [
        scorer_of(encoder, network(encoder, EXAMPLES["mmoe"], tables=one), TASKS) for one in (FLOAT32, precision)
    ]
    for shared in SHARED:
        in_float32, (found, expected) = (split_and_whole(scorer, rows(shared)) for scorer in scorers)
        # Probabilities in float32, whose sums of products are formed in another order.
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)
        difference = (found - in_float32[0]).abs().max()
        assert 1e-6 < difference < 0.03, "the tables are held in fewer bits, and scores are near"


@pytest.mark.parametrize("name", ["stem", "finalmlp", "conditional", "shared_bottom of members"])
def test_networks_that_read_tables_in_other_ways_score_nearly_the_same(name: str) -> None:
    encoder = made()
    in_float32, found = (
        scorer_of(encoder, network(encoder, EXAMPLES[name], tables=one), TASKS).score(rows(()))
        for one in (FLOAT32, "int8")
    )
    assert 1e-7 < np.abs(found.to_numpy() - in_float32.to_numpy()).max() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("precision", REDUCED)
def test_an_export_holds_the_tables_in_that_precision(precision: Precision, tmp_path: Path) -> None:
    encoder = made()
    by_precision = {
        one: scorer_of(encoder, network(encoder, EXAMPLES["shared_bottom"], tables=one), TASKS)
        for one in (FLOAT32, precision)
    }
    about = export(by_precision[precision], tmp_path / "out", by_precision[FLOAT32])
    assert about["tables"] == precision
    assert about["largest_difference"] <= 1e-6 < about[FROM_FLOAT32]
    held = onnx.load(tmp_path / "out" / "model.onnx").graph.initializer
    tables = [one for one in held if one.name.endswith("rows_RW")]
    kind = {"bfloat16": onnx.TensorProto.BFLOAT16, "int8": onnx.TensorProto.INT8}[precision]
    assert {one.data_type for one in tables} == {kind}
    assert sum(int(np.prod(one.dims)) for one in tables) == sum(t.rows * t.width for t in encoder.tables())


def test_a_model_of_several_says_its_precision_and_trees_say_that_they_have_none() -> None:
    encoder = made()
    one = network(encoder, EXAMPLES["shared_bottom"], tables="int8")
    scorer = scorer_of(encoder, Ensemble((one, one), (TASKS, TASKS), TASKS, ((0.5, 0.5),) * 3), TASKS)
    assert scorer.tables == "int8"
    assert scorer.table_bytes == 2 * sum(t.rows * (t.width + 2) for t in encoder.tables())
    assert scorer.identity != scorer.digest
    (note,) = tables_notes(scorer, "int8")
    assert note.startswith("embedding tables in int8: ")
    trees = replace(scorer, predictor=Ensemble((), (), TASKS, ()))
    assert (trees.tables, trees.table_bytes, trees.identity) == (None, 0, scorer.digest)
    assert tables_notes(trees, "int8") == ["the model has no embedding tables, so --tables int8 changes nothing"]
    assert not tables_notes(scorer, FLOAT32)


def test_a_command_says_the_precision_that_it_scores_in(models: Models) -> None:
    model = models("plain")
    model.rows.write_parquet("in.parquet")
    arguments = ["score", "--model", model.uri, "in.parquet", "out", "--tables", "int8"]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "embedding tables in int8: " in done.output) == (0, True), done.output
    again = CliRunner().invoke(app, [*arguments, "--json"]).output
    summary = json.loads(again[again.index("{") :])
    assert (summary["tables"], summary["parts"]) == ("int8", summary["found_done"])
    found = pl.read_parquet("out/part-*.parquet").select("purchase", "wish").to_numpy()
    assert 1e-6 < np.abs(found - model.evaluated).max() < 0.01
    assert json.loads(Path("out/score.json").read_text())["identity"]["model"].endswith(" with int8 tables")
    refused = CliRunner().invoke(app, [*arguments[:-1], "int4"])
    assert refused.exit_code == 2
    assert "float32, bfloat16, int8; did you mean `int8`?" in " ".join(refused.output.replace("│", " ").split())
