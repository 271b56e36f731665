"""A search on a few rows: finished, found finished, interrupted, constrained, pruned, and with workers killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from math import prod
from pathlib import Path
from statistics import mean

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from features.errors import InputError
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import delta_m_pct
from pipeline.evaluation.pareto import pareto_mask
from pipeline.report.report import write_report
from pipeline.report.results import load_result
from pipeline.runs.plan import SINGLE_TASK, UNIFORM, PlannedRun, System
from pipeline.runs.run import Run
from pipeline.search.points import Baselines
from pipeline.search.pruning import BehindError, MedianRule
from pipeline.search.search import Search
from pipeline.search.searched import Searched
from pipeline.search.study import Study
from pipeline.search.worker import Worker
from pipeline.training.runner import find_or_train
from tests.conftest import debug_config
from tests.pipeline.search.searching import (
    PointCounter,
    assert_whole,
    finished,
    searched,
    start,
    table,
    wait_until,
)

TRIALS = 4


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Prepared, Searched]:
    """A search that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        config = debug_config(folder, f"search.trials={TRIALS}")
        prepared = prepare(config)
        return config, prepared, searched(config, prepared)


@pytest.fixture
def store(done: tuple[RunConfig, Prepared, Searched], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = f"sqlite:///{done[0].runs.parent}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return MlflowClient()


def test_a_search_finishes_what_was_asked_for(done: tuple[RunConfig, Prepared, Searched], store: MlflowClient) -> None:
    config, prepared, found = done
    assert_whole(config, TRIALS)
    assert [p.params["alpha"] for p in found.points[:2]] == [0.0, -10.0]
    content = json.loads(found.path.read_text())
    assert (content["kind"], content["name"], content["data"]) == ("study", "debug", prepared.fingerprint)
    assert content["baselines"].keys() == {"single-task", "uniform"}
    for point in found.points:
        (run,) = [Run.load(config.runs / name) for name in point.runs]
        assert point.test == {task: run.test[task]["auc"] for task in config.tasks}
        assert (point.method, point.val_sd) == (run.method, None)
    assert [p.pareto for p in found.points] == pareto_mask([[*p.val.values()] for p in found.points])


def test_the_front_has_its_intervals(done: tuple[RunConfig, Prepared, Searched], tmp_path: Path) -> None:
    _, _, found = done
    result = load_result(found.path)
    front = {point.label for point in result.points if point.pareto}
    assert front == {point.label for point in found.pareto_front}
    for baseline, other in ((UNIFORM.name, SINGLE_TASK.name), (SINGLE_TASK.name, UNIFORM.name)):
        assert {system for system, _ in result.confidence.against(baseline)} == front | {other}
    for point in found.pareto_front:
        uniform = found.comparison.systems[UNIFORM.name][0]
        for task, auc in point.test.items():
            interval = result.confidence.against(UNIFORM.name)[point.label, task]
            assert interval.delta == pytest.approx(auc - uniform.test[task]["auc"], abs=1e-6)
    write_report(result, tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert page.count('<span class="line ') == 8 * (len(front) + 1), (
        "each of the front against both baselines, these against each other"
    )
    assert "Intervals of the Pareto-optimal points: " in page


@pytest.mark.slow
def test_families_of_methods_have_their_fronts_in_the_file(tmp_path: Path) -> None:
    weights = 'search.ranges={"spec.tasks.income.weight"={low=0.5,high=2.0}}'
    config = debug_config(tmp_path, "search.methods=['gradops', 'uniform']", weights, "search.trials=6")
    found = searched(config, prepare(config))
    file = load_result(found.path).file
    assert isinstance(file, StudyFile)
    assert file.fronts is not None
    assert {front.family for front in file.fronts.fronts} == {"gradops", "static weights"}
    assert sum(front.points for front in file.fronts.fronts) == len(found.points) == 6
    for front in file.fronts.fronts:
        assert front.low is not None
        assert front.high is not None
        assert front.low < front.high
    page = tmp_path / "page.html"
    write_report(load_result(found.path), page)
    assert "gradops less static weights" in page.read_text()


def test_the_best_by_validation_are_registered_and_the_front_is_logged(
    done: tuple[RunConfig, Prepared, Searched], store: MlflowClient
) -> None:
    config, _, found = done
    for task in config.tasks:
        best = max(found.pareto_front, key=lambda p: p.val[task])
        assert store.get_model_version_by_alias("debug", f"best-{task}").tags["method"] == best.method
    logged = {i for p in found.points for i in p.mlflow_run_ids if "gradops.model" in store.get_run(i).data.tags}
    assert logged == {i for p in found.pareto_front for i in p.mlflow_run_ids}


def test_a_finished_study_is_reported_and_nothing_is_trained(
    done: tuple[RunConfig, Prepared, Searched], store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, prepared, found = done
    versions = len(store.search_model_versions("name = 'debug'"))
    monkeypatch.setattr("pipeline.search.worker.find_or_train", None)
    assert searched(config, prepared) == found
    assert len(store.search_model_versions("name = 'debug'")) == versions


def test_a_study_of_another_config_is_refused_and_more_trials_are_not(
    done: tuple[RunConfig, Prepared, Searched],
) -> None:
    config, prepared, _ = done
    other = debug_config(config.runs, *shared(config), "search.objective=mean_auc", "train.lr=1e-3")
    with pytest.raises(InputError) as caught:
        Study(other, prepared)
    assert "search.objective: 'auc' there, 'mean_auc' here" in str(caught.value)
    assert "train.lr: 0.005 there, 0.001 here" in str(caught.value)
    more = Study(debug_config(config.runs, *shared(config), "search.trials=9", "search.workers=2"), prepared)
    assert (more.places, len(more.points()), more.is_over()) == (9, TRIALS, False)


def shared(config: RunConfig) -> tuple[str, ...]:
    """The places of a search, for another that finds its runs."""
    return f"runs={config.runs}", f"data.prepared={config.data.prepared}", f"search.trials={TRIALS}"


class Interrupting(PointCounter):
    """Ends the command by a signal when a number of points is finished."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def __call__(self, points: object) -> None:
        super().__call__(points)  # type: ignore[arg-type]
        if self.points == self.at:
            raise KeyboardInterrupt


def test_an_interrupted_search_ends_with_the_same_table(
    done: tuple[RunConfig, Prepared, Searched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two points, and inside a run: at its last step, before anything of it is known to the study."""
    _, prepared, found = done
    config = debug_config(tmp_path, f"search.trials={TRIALS}", f"data.prepared={prepared.folder.parent}")
    with pytest.raises(KeyboardInterrupt):
        Search(config, prepared, Study(config, prepared)).run([], Interrupting(2))

    def ended(*args: object, **kwargs: object) -> object:
        find_or_train(*args, **kwargs)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.search.worker.find_or_train", ended)
    with pytest.raises(KeyboardInterrupt):
        searched(config, prepared)
    monkeypatch.setattr("pipeline.search.worker.find_or_train", find_or_train)
    study = Study(config, prepared)
    assert (len(study.points()), study.running()) == (2, set())
    assert table(searched(config, prepared)) == table(found)
    assert_whole(config, TRIALS)


@pytest.mark.parametrize("objective", ["mean_auc", "selected", "delta_m_pct", "hypervolume"])
def test_one_number_can_be_the_objective(done: tuple[RunConfig, Prepared, Searched], objective: str) -> None:
    config, prepared, found = done
    options = (f"search.objective={objective}", f"search.study={objective}")
    other = debug_config(config.runs, *shared(config), *options)
    study = Study(other, prepared)
    study.fill()
    baselines = Baselines.of(found.comparison)
    with study.take() as trial:
        assert trial is not None
        worker = Worker(other, prepared, study, baselines, None, PointCounter)  # type: ignore[arg-type]
        values = worker.objectives(found.points[0])
        study.finish(trial, found.points[0], values, {})
    expected = {
        "mean_auc": mean(found.points[0].val.values()),
        "selected": mean(found.points[0].val.values()),
        "delta_m_pct": delta_m_pct(found.points[0].val, baselines.val),
        "hypervolume": prod(auc - 0.5 for auc in found.points[0].val.values()),
    }
    assert values == [pytest.approx(expected[objective])]
    assert study.points() == [found.points[0]]


def test_a_constraint_keeps_points_off_the_front(
    done: tuple[RunConfig, Prepared, Searched], store: MlflowClient
) -> None:
    config, prepared, found = done
    single = next(row for row in found.comparison.table("val") if row.system == "single-task")
    options = ("search.study=bound", "search.not_below_single_task=['education']")
    bound = searched(debug_config(config.runs, *shared(config), *options), prepared)
    assert [p.runs for p in bound.points[:2]] == [p.runs for p in found.points[:2]]
    assert all(p.val["education"] >= single.auc["education"] for p in bound.pareto_front)
    assert any(p.val["education"] < single.auc["education"] for p in bound.points)


def test_a_run_below_the_median_is_given_up(done: tuple[RunConfig, Prepared, Searched]) -> None:
    config, _, found = done
    planned = PlannedRun(System("trial 9"), config.changed({"train.epochs": 3}))
    epoch = Run.load(config.runs / found.points[0].runs[0]).history[0]
    above, below = ([[epoch.mean_auc + shift] * 3] for shift in (0.01, -0.01))
    points = [Point(i, "uniform", {}, curves=above) for i in range(5)]
    with pytest.raises(BehindError, match=r"after epoch 1 of seed 0, median 0\.\d{4}"):
        MedianRule(points, 0).on_epoch(planned, epoch)
    MedianRule(points[:4], 0).on_epoch(planned, epoch)
    MedianRule([*points[:2], *(Point(i, "uniform", {}, curves=below) for i in range(3))], 0).on_epoch(planned, epoch)
    MedianRule(points, 0).on_epoch(PlannedRun(System("trial 9"), config), epoch)


def test_a_pruned_and_a_failed_point_are_finished(
    done: tuple[RunConfig, Prepared, Searched], store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, prepared, _ = done
    places = (*shared(config), f"search.trials={TRIALS + 1}")
    rates = 'search.ranges={"train.lr"={low=1e30,high=1e31,log=true}}'
    wild = searched(debug_config(config.runs, *places, "search.study=wild", "search.trials=2", rates), prepared)
    assert [p.state for p in wild.points] == ["failed", "failed"]
    assert "no longer finite" in wild.points[0].reason
    assert not wild.pareto_front

    def behind(self: MedianRule, *_: object) -> None:
        raise BehindError("by order of the test")

    monkeypatch.setattr(MedianRule, "on_epoch", behind)
    pruned = searched(debug_config(config.runs, *places, "search.study=pruned", "search.prune=true"), prepared)
    assert [p.state for p in pruned.points[:2]] == ["complete"] * 2, "what is found finished is not given up"
    assert pruned.points[-1].state == "pruned"
    (run_id,) = pruned.points[-1].mlflow_run_ids
    assert store.get_run(run_id).data.tags["gradops.state"] == "pruned"
    assert not [*(config.runs / "checkpoints").glob("*/step-*")]


class Killing(PointCounter):
    """Kills a worker when the first point is finished."""

    def __call__(self, points: Sequence[Point]) -> None:
        if points and not self.points:
            os.kill(multiprocessing.active_children()[0].ident or 0, signal.SIGKILL)
        super().__call__(points)


@pytest.mark.slow
def test_a_killed_worker_costs_its_trial_alone(
    done: tuple[RunConfig, Prepared, Searched], store: MlflowClient, tmp_path: Path
) -> None:
    config, prepared, _ = done
    options = (*shared(config), "search.trials=6", "search.workers=2", "search.study=killed", "search.sampler_seed=1")
    killed = debug_config(tmp_path, *options)
    told = Killing()
    Search(killed, prepared, Study(killed, prepared)).run([], told)
    assert told.points == 6
    assert_whole(killed, 6)


@pytest.mark.slow
def test_the_whole_command_ends_by_a_signal_and_goes_on(tmp_path: Path) -> None:
    log, options = tmp_path / "log", ("search.trials=8", "search.workers=2", "train.max_steps=0", "train.epochs=8")
    for number in (signal.SIGTERM, signal.SIGINT):
        log.unlink(missing_ok=True)
        command = start(tmp_path, log, *options)
        wait_until(lambda: finished(log) >= 3)
        command.send_signal(number)
        assert command.wait(120) == 130, log.read_text()
        assert "interrupted; the same command goes on" in log.read_text()
    assert start(tmp_path, log, *options).wait(400) == 0
    assert_whole(debug_config(tmp_path, *options), 8)
