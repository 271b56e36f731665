"""The same run in several comparisons: each leaves its figures, the newest ones are shown, and a model has its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Metric, RunStatus
from mlflow.entities import Run as Recorded

from pipeline.comparison.result_file import ComparisonFile, load_result_file
from pipeline.registry import register
from pipeline.registry.model import RegisteredModel
from pipeline.tracking.names import run_name
from pipeline.tracking.store import connect
from tests.commands import run
from tests.pipeline.agreement import Agreement
from tests.pipeline.small_shop import shop_log, write, write_config

DROP = "comparison.test.delta_m_pct_drop"
RANK = "comparison.test.mean_rank"
PASSING = ("--set", "gate.min_positives=10", "--set", "gate.calibration=[0.1, 10]")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shop after its first comparison: of two methods, `uniform` has become a version, `pcgrad` has not."""
    folder, home = tmp_path_factory.mktemp("compared"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        os.chdir(folder)
        write(shop_log(1500))
        write_config(changes={"batch_size = 256": "batch_size = 128"})
        with pytest.MonkeyPatch.context() as front:
            front.setattr(register, "pareto_optimal", lambda tradeoffs: tradeoffs.candidates()[:1])
            assert run("compare", "shop.toml", "--methods", "uniform,pcgrad", *PASSING)[0] == 0
        yield folder
        os.chdir(home)


@pytest.fixture
def folder(compared: Path, tmp_path: Path) -> Path:
    """A copy of the shop; what is written to MLflow's artifacts lands in the first one's, under new names."""
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlartifacts"))
    return tmp_path


def recorded(name: str) -> Recorded:
    (found,) = connect().search_runs(["1"], f"attributes.run_name = '{name}'")
    return found


def agree() -> None:
    Agreement("shop", shop_log(20)).check()


def compare(*options: str) -> str:
    code, out, err = run("compare", "shop.toml", *options, *PASSING)
    assert code == 0, out + err
    return out


@pytest.mark.slow
def test_a_run_can_be_registered_after_a_second_comparison(folder: Path) -> None:
    """The fault: a run in another comparison had another mean rank at the same time, which a logged model refuses."""
    compare("--methods", "pcgrad")
    assert {version.tags["method"] for version in RegisteredModel("shop").versions()} == {"uniform", "pcgrad"}
    compare("--methods", "pcgrad,mgda")
    compare("--methods", "pcgrad", "--seeds", "2")
    agree()


def test_the_figures_of_the_newest_comparison_are_shown_and_those_before_are_kept(folder: Path) -> None:
    before = recorded("pcgrad seed 0")
    compare("--methods", "pcgrad")
    after = recorded("pcgrad seed 0")
    (path,) = (p for p in Path("runs/comparisons").glob("*.json") if len(_systems(p)) == 2)
    file = load_result_file(path)
    assert isinstance(file, ComparisonFile)
    (row,) = (row for row in file.test if row.system == "pcgrad")
    assert after.data.metrics[RANK] == row.mean_rank
    assert after.data.metrics[DROP] == row.delta_m_pct
    (parent,) = connect().search_runs(["1"], f"tags.`gradops.fingerprint` = '{file.fingerprint}'")
    assert after.data.tags["gradops.comparison_run_id"] == parent.info.run_id
    history = [point.value for point in connect().get_metric_history(after.info.run_id, RANK)]
    assert history == [before.data.metrics[RANK], row.mean_rank]
    compare("--methods", "pcgrad")
    assert len(connect().get_metric_history(after.info.run_id, RANK)) == 2, "the same comparison counts once"


def _systems(path: Path) -> list[str]:
    file = load_result_file(path)
    assert isinstance(file, ComparisonFile)
    return list(file.runs)


def test_a_store_that_an_older_version_left_in_error_works_again(folder: Path) -> None:
    """Older versions gave both comparisons' figures one time, and MLflow refused the model: run and parent failed."""
    client = connect()
    found = recorded("pcgrad seed 0")
    at = found.info.start_time
    client.log_batch(found.info.run_id, metrics=[Metric(RANK, rank, at, 0) for rank in (1.5, 2.5)])
    for run_id in (found.info.run_id, recorded("comparison").info.run_id):
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
    compare("--methods", "uniform,pcgrad")
    compare("--methods", "pcgrad")
    assert recorded("pcgrad seed 0").info.status == "FINISHED"
    agree()


def test_figures_that_an_older_version_recorded_at_one_time_are_shown_as_the_table_has_them(folder: Path) -> None:
    """Of equal times MLflow shows the higher value: such a comparison is recorded again, at a time of its own."""
    client, parent, child = connect(), recorded("comparison"), recorded("uniform seed 0")
    right = child.data.metrics[RANK]
    client.delete_tag(parent.info.run_id, "gradops.compared_at")
    later = int(time.time() * 1000)
    client.log_batch(child.info.run_id, metrics=[Metric(RANK, right + 7, later, 0)])
    assert recorded("uniform seed 0").data.metrics[RANK] == right + 7
    compare("--methods", "uniform,pcgrad")
    assert recorded("uniform seed 0").data.metrics[RANK] == right


def test_a_logged_model_has_the_figures_of_its_run_and_none_of_a_comparison(folder: Path) -> None:
    compare("--methods", "pcgrad")
    models = connect().search_logged_models(["1"])
    assert len(models) == 2
    for model in models:
        assert {metric.key.partition(".")[0] for metric in model.metrics or []} == {"test", "best", "data"}
        assert model.params["train.method"] in ("uniform", "pcgrad")
        (source,) = [r for r in connect().search_runs(["1"]) if r.info.run_id == model.source_run_id]
        assert source.outputs is not None
        assert [output.model_id for output in source.outputs.model_outputs] == [model.model_id]
        assert source.data.tags["gradops.model"] == model.model_id


def test_registering_does_not_change_the_times_and_the_state_of_a_run(folder: Path) -> None:
    before = recorded("pcgrad seed 0").info
    compare("--methods", "pcgrad")
    after = recorded("pcgrad seed 0").info
    assert (after.status, after.start_time, after.end_time) == ("FINISHED", before.start_time, before.end_time)


def test_a_version_has_the_drop_of_the_latest_comparison(folder: Path) -> None:
    (version,) = RegisteredModel("shop").versions()
    compare("--methods", version.tags["method"], "--seeds", "2")
    (path,) = (p for p in Path("runs/comparisons").glob("*.json") if load_result_file(p).seeds == [0, 1])
    file = load_result_file(path)
    assert isinstance(file, ComparisonFile)
    (row,) = (row for row in file.val if row.system == version.tags["method"])
    chosen = RegisteredModel("shop").aliases["balanced"]
    assert RegisteredModel("shop").version(chosen).tags["val.delta_m_pct_drop"] == f"{row.delta_m_pct:.3f}"


def test_runs_of_other_settings_have_names_that_say_which(folder: Path) -> None:
    compare("--methods", "uniform", "--set", "train.lr=0.02", "--set", "train.epochs=2")
    compare("--methods", "uniform", "--set", "train.lr=0.02", "--set", "train.epochs=2")
    names = [run.info.run_name for run in connect().search_runs(["1"])]
    assert "uniform seed 0" in names
    assert "uniform seed 0 (train.epochs=2, train.lr=0.02)" in names
    assert len(set(names)) + 1 == len(names), "only the two comparisons have one name"


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"a": "1", "b": "2", "c": "3", "d": "4"}, "uniform seed 0"),
        ({"a": "1", "b": "2", "c": "3", "d": "5"}, "uniform seed 0 (d=5)"),
        ({"a": "1", "b": "2", "c": "3", "d": "4", "e": "6"}, "uniform seed 0 (e=6)"),
        ({"a": "0", "b": "0", "c": "0", "d": "0"}, "uniform seed 0 (a=0, b=0, c=0, ...)"),
    ],
)
def test_a_name_has_at_most_three_settings(params: dict[str, str], name: str) -> None:
    assert run_name("uniform seed 0", params, {"a": "1", "b": "2", "c": "3", "d": "4"}) == name
