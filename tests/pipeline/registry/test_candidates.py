"""Candidates beyond one network, from `compare` to a real server: registered, judged, served, cleaned."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

from pipeline.comparison.candidates import pareto_optimal
from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import Comparison, comparison_fingerprint
from pipeline.comparison.result_file import ComparisonFile, load_result_file
from pipeline.comparison.scores import TestRows, computed_scores
from pipeline.config.split import split_by_key
from pipeline.data.prepare import prepare
from pipeline.registry.model import RegisteredModel
from pipeline.registry.promotion import decide, promote
from pipeline.registry.register import register_comparison, register_run
from pipeline.registry.retention import files_of_versions, remove_files
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from tests.pipeline.serving.model_server import asked, records, scores, serving, wait
from tests.pipeline.small_shop import shop_config, shop_log, write

KINDS = ["bundle", "boosting", "ensemble"]
EASY = ["gate.min_positives=10", "gate.min_negatives=10", "gate.calibration=[0.2, 5]", "gate.margin=0.4"]


def compared(*overrides: str) -> tuple[Comparison, Tracker]:
    config = shop_config(None, None, "compare.methods=['uniform']", *EASY, *overrides)
    prepared = prepare(config)
    group = RunGroup.comparison(comparison_fingerprint(config, prepared))
    with Tracker.open(config, prepared, group) as tracker:
        return compare(config, prepared, [tracker]), tracker


@pytest.mark.slow
def test_every_kind_is_registered_judged_served_and_cleaned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(shop_log())
    comparison, tracker = compared("compare.boosting=true", f"compare.candidates={KINDS}", "compare.seeds=2")
    config, prepared = comparison.config, comparison.prepared
    found = {one.system: one for one in comparison.candidates()}
    assert [*found] == ["uniform", "ensemble", "bundle", "boosting"]
    rows = {row.system: row for row in comparison.table("val")}
    assert found["bundle"].auc == rows["single-task"].auc
    assert found["boosting"].auc == rows["boosting"].auc
    assert {*rows} == {"single-task", "uniform", "boosting", "ensemble"}
    with tracker:
        registered = register_comparison(comparison, tracker)
        model = RegisteredModel(config.name)
        kept = {one.system for one in pareto_optimal(comparison)}
        assert {version.tags["method"] for version in model.versions()} == kept == {*registered.costs}
        # Those that another one beats are registered by hand, so that each kind is served here.
        numbers = {kind: register_run(config, prepared, one.run, tracker) for kind, one in found.items()}
    assert registered.aliases["balanced"] in numbers.values()
    file = load_result_file(comparison.path)
    assert isinstance(file, ComparisonFile)
    assert file.serving == registered.costs
    assert all(0 < cost.ms_row < cost.ms_500_rows and cost.megabytes > 0 for cost in file.serving.values())
    assert "cost to serve" in comparison.path.with_suffix(".md").read_text()
    raw = pl.read_parquet("logs/part-0.parquet")
    test = raw.filter(split_by_key(config.split, {"train": 0.6, "val": 0.2, "test": 0.2}) == "test")
    for kind, number in numbers.items():
        expected_NT = computed_scores(found[kind].run, TestRows(prepared))
        uri = f"models:/{config.name}/{number}"
        served = mlflow.pyfunc.load_model(uri)
        columns = served.metadata.get_input_schema().input_names()
        assert served.metadata.get_output_schema().input_names() == ["purchase", "cart"]
        frame = served.predict(test.select(columns).to_pandas())
        np.testing.assert_allclose(frame.to_numpy(), expected_NT, rtol=0, atol=1e-6)
        if kind == "uniform":  # networks are served in tests of their own
            continue
        with serving(uri, tmp_path / kind) as address:
            wait(address, tmp_path / kind)
            answer = scores(asked(address, {"inputs": records(test.select(columns))}))
        np.testing.assert_allclose(answer, expected_NT, rtol=0, atol=1e-6)
        assert model.version(number).tags["val.auc.cart"] == f"{found[kind].run.val['cart']['auc']:.6f}"
        decision = decide(config, prepared, number)
        assert decision.passed, decision.why
    assert promote(config, prepared, numbers["boosting"]).passed
    assert model.aliases["champion"] == numbers["boosting"]
    for files in files_of_versions(config.name):
        remove_files(files)
    left = {files.number for files in files_of_versions(config.name)}
    assert left == {*model.aliases.values()}, "only files without an alias went"
    again, tracker = compared("compare.boosting=true", f"compare.candidates={KINDS}", "compare.seeds=2")
    assert again == comparison
    with tracker:
        assert register_comparison(again, tracker).aliases.keys() == registered.aliases.keys()


def test_without_the_key_a_comparison_is_what_it_was() -> None:
    write(shop_log(400))
    config = shop_config()
    prepared = prepare(config)
    with_key = config.model_copy(update={"compare": config.compare.model_copy(update={"candidates": ("bundle",)})})
    more = with_key.model_copy(update={"compare": with_key.compare.model_copy(update={"ensemble_members": 3})})
    found = {comparison_fingerprint(one, prepared) for one in (config, with_key, more)}
    assert len(found) == 3
    other = config.model_copy(update={"compare": config.compare.model_copy(update={"ensemble_members": 3})})
    assert comparison_fingerprint(other, prepared) == comparison_fingerprint(config, prepared)


def test_trees_that_are_not_grown_are_no_candidate() -> None:
    write(shop_log(400))
    with pytest.raises(Exception, match=r'compare\.candidates names "boosting"'):
        shop_config(None, None, "compare.candidates=['boosting']")
