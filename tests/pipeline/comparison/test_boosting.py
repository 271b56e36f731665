"""The boosting baseline, the scores that runs are compared by, and the two in a comparison."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.spec import FeatureSpec
from pipeline.comparison import boosting
from pipeline.comparison.boosting_notes import boosting_notes
from pipeline.comparison.candidates import pareto_optimal
from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import Comparison, comparison_fingerprint, plan_boosting
from pipeline.comparison.confidence import Interval
from pipeline.comparison.scores import SCORES, TestRows, scores_of
from pipeline.comparison.table import table_cells
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.multitask import task_metrics
from pipeline.runs.plan import BOOSTING, SINGLE_TASK
from pipeline.runs.run import Run
from pipeline.serving.trees.columns import Columns, many_valued
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from tests.conftest import ROOT, debug_config
from tests.pipeline.small_shop import shop_config, shop_log, write

BESIDE = ["compare.methods=['uniform', 'mgda']", "compare.seeds=2", "compare.boosting=true"]


@pytest.fixture(scope="module")
def done(few: tuple[RunConfig, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    config = debug_config(tmp_path_factory.mktemp("boosting"), *BESIDE, f"data.prepared={few[0].data.prepared}")
    return compare(config, few[1], [])


def test_boosting_is_a_row_without_a_rank(done: Comparison) -> None:
    *networks, row = done.table("test")
    assert row.system == BOOSTING.name
    assert row.mean_rank is None
    assert row.deviation is None
    assert sorted(network.mean_rank or 0 for network in networks)[0] >= 1
    assert all(auc > 0.8 for auc in row.auc.values())
    assert table_cells(done, row)[-1] == "-"
    assert BOOSTING.name not in {one.system for one in pareto_optimal(done)}


def test_it_is_found_again_and_is_part_of_the_comparison(done: Comparison) -> None:
    for planned, run in zip(plan_boosting(done.config), done.systems[BOOSTING.name], strict=True):
        assert boosting.find_boosting(planned.config, done.prepared) == run
    without = done.config.model_copy(update={"compare": done.config.compare.model_copy(update={"boosting": False})})
    assert comparison_fingerprint(without, done.prepared) != done.fingerprint
    assert compare(done.config, done.prepared, []) == done


def test_scores_are_those_of_the_weights(done: Comparison) -> None:
    rows = TestRows(done.prepared)
    labels_NT = rows.labels(done.config.tasks)
    for system in ("uniform", SINGLE_TASK.name, BOOSTING.name):
        for run in done.systems[system]:
            columns = [done.config.tasks.index(task) for task in run.tasks]
            scores_NT = scores_of(run, rows)
            found = task_metrics(labels_NT[:, columns], scores_NT, run.tasks)
            assert found[run.tasks[0]]["auc"] == pytest.approx(run.test[run.tasks[0]]["auc"], abs=1e-6)


def test_runs_of_before_scores_were_kept_are_scored_not_trained(done: Comparison, tmp_path: Path) -> None:
    shutil.copytree(done.config.runs, tmp_path / "runs")
    lost = [run.fingerprint for run in done.systems["uniform"]]
    (tmp_path / "runs" / lost[0] / SCORES).unlink()
    (tmp_path / "runs" / lost[1] / SCORES).write_bytes(b"half")
    config = debug_config(tmp_path, *BESIDE, f"data.prepared={done.config.data.prepared}")
    weights = (tmp_path / "runs" / lost[0] / "weights.safetensors").stat().st_mtime_ns
    assert compare(config, done.prepared, []).confidence == done.confidence
    assert (tmp_path / "runs" / lost[0] / "weights.safetensors").stat().st_mtime_ns == weights


def test_every_system_has_its_intervals_against_both_baselines(done: Comparison) -> None:
    assert done.baselines == ["uniform", SINGLE_TASK.name]
    for baseline in done.baselines:
        found = done.confidence.against(baseline)
        others = set(done.systems) - {baseline}
        assert {system for system, _ in found} == others
        assert len(found) == len(others) * 4
        rows = {row.system: row for row in done.table("test")}
        for (system, task), interval in found.items():
            ours = rows[system].average if task is None else rows[system].auc[task]
            theirs = rows[baseline].average if task is None else rows[baseline].auc[task]
            assert interval.delta == pytest.approx(ours - theirs, abs=1e-6)
            assert interval.low <= interval.delta <= interval.high
    assert "2 seeds" in done.confidence.note


@pytest.mark.parametrize(("low", "high", "mark"), [(0.1, 0.3, "▲"), (-0.3, -0.1, "▼"), (-0.1, 0.3, "")])
def test_what_holds_zero_has_no_mark(low: float, high: float, mark: str) -> None:
    assert Interval("a", "b", None, (low + high) / 2, low, high).mark == mark


@pytest.mark.slow
def test_a_sample_of_the_test_rows_is_of_whole_groups() -> None:
    generate(Options(rows=7000, users=200, items=50), Path("data/clicklog"))
    config = load_config(ROOT / "configs" / "clicklog.toml", ["train.tasks=['cart']", "train.seed=3"])
    prepared = prepare(config)
    whole, part = TestRows(prepared), TestRows(prepared, limit=300)
    assert (len(whole), whole.step, whole.share) == (1000, 1, 1.0)
    assert part.step == 4
    assert 0 < len(part) < 700
    assert whole.unit_N is not None
    assert part.unit_N is not None
    users = set(part.unit_N.tolist())
    assert users == {user for user in whole.unit_N.tolist() if user % 4 == 0}
    assert len(part) == sum(user in users for user in whole.unit_N.tolist())
    columns = Columns.learnt(Window.of(part.features, config.spec, ()))
    array = columns.of(Window.of(whole.features, config.spec, ()))
    assert array.shape == (1000, len(columns.categorical))
    for column, categorical in zip(array.T, columns.categorical, strict=True):
        assert not categorical or (column.min() >= 0 and column.max() < 255)
    run = boosting.train_boosting(config, prepared)
    assert run.test["cart"]["gauc"] > 0
    assert len(scores_of(run, part)) == len(part)


def test_rare_categories_are_one_and_frequent_ones_come_first() -> None:
    spec = FeatureSpec.model_validate({"features": {"sex": {"kind": "categorical"}}, "tasks": {"a": {"positive": "b"}}})

    def window(ids: list[int]) -> Window:
        return Window.of(pl.DataFrame({"id.sex": pl.Series(ids, dtype=pl.Int32)}), spec, ())

    columns = Columns.learnt(window([7] * 5 + [3] * 9 + [*range(100, 400)]))
    assert columns.of(window([3, 7, 399, 12345])).tolist() == [[0], [1], [254], [254]]


WAYS = {"with": "with_ids", "without": "without_ids", "rates": "with_rates"}
USER = {"user_id": '{ kind = "categorical", buckets = 5_000 }'}
CROSS = {"pair": '{ kind = "cross", columns = ["user_id", "item_id"], buckets = 20_000 }'}
TAGS = {"tags": '{ kind = "multi_hot", buckets = 10_000 }'}


def boosted(log: pl.DataFrame, features: dict[str, str]) -> tuple[Run, Prepared]:
    """The baseline's model of the small shop's purchases."""
    write(log)
    config = shop_config(features, None, "train.tasks=['purchase']")
    prepared = prepare(config)
    return boosting.train_boosting(config, prepared), prepared


def strangers(rows: int = 12_000) -> pl.DataFrame:
    """A log whose 300 users tell nothing, and whose items decide."""
    users = np.random.default_rng(10).integers(0, 300, rows)
    return shop_log(rows).with_columns(user_id=pl.Series(users))


def regulars(rows: int = 4000) -> pl.DataFrame:
    """A log whose 300 users always buy or never do, but for one click in ten."""
    generator = np.random.default_rng(1)
    user = generator.integers(0, 300, rows)
    bought = (np.random.default_rng(2).random(300) < 0.4)[user] ^ (generator.random(rows) < 0.1)
    return shop_log(rows).with_columns(user_id=pl.Series(user), bought=pl.Series(bought.astype(np.int64)))


def test_ids_that_tell_nothing_are_left_out_by_validation() -> None:
    run, prepared = boosted(strangers(), USER)
    assert run.left_out == ["user_id"]
    found = run.val["purchase"]
    assert found["auc"] == found["auc_without_ids"] > found["auc_with_ids"]
    assert Run.load(run.folder) == run
    assert len(scores_of(run, TestRows(prepared))) == prepared.rows["test"]
    figures = ", ".join(f"{way} {found[f'auc_{key}']:.4f}" for way, key in WAYS.items())
    assert boosting_notes(prepared, [run])[1].endswith(
        f"by validation AUC it reads no `user_id` for purchase ({figures})"
    )


def test_ids_that_tell_much_are_kept() -> None:
    run, prepared = boosted(regulars(), USER)
    assert run.left_out == []
    found = run.val["purchase"]
    assert found["auc"] == found["auc_with_rates"] > found["auc_with_ids"] > found["auc_without_ids"] + 0.1
    assert "it reads the rates for purchase (with 0." in boosting_notes(prepared, [run])[1]


def test_few_values_are_never_tried_without() -> None:
    run, prepared = boosted(shop_log(), USER)  # 199 users
    assert "auc_without_ids" not in run.val["purchase"]
    assert len(boosting_notes(prepared, [run])) == 1


def test_crosses_of_ids_have_many_values_and_lists_have_few_columns() -> None:
    write(shop_log(4000).with_columns(tags=pl.int_ranges(pl.col("click_id"), pl.col("click_id") + 3)))
    config = shop_config(CROSS | TAGS)
    prepared = prepare(config)
    train = Window.of(pl.read_parquet(prepared.folder / "train" / "*.parquet"), config.spec, ())
    assert many_valued(train) == ["pair"]
    columns = Columns.learnt(train).without(["pair"])
    assert [column.read for column in columns.columns] == ["category", "category", "number", "entries"]
    assert columns.categorical == [True, True, False, *[False] * 17]


def test_a_log_of_ids_alone_keeps_them() -> None:
    write(strangers())
    spec = {'item_id = { kind = "categorical" }': "", 'country = { kind = "categorical" }': ""}
    config = shop_config(USER, spec | {'price = { kind = "numeric", buckets = 8 }': ""}, "train.tasks=['purchase']")
    prepared = prepare(config)
    assert boosting.train_boosting(config, prepared).left_out == []
