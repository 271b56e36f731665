"""A study on PostgreSQL and behind a proxy, and thirty trials by three workers, one of which is killed twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage, run_grpc_proxy_server
from optuna.trial import TrialState
from selenium import webdriver
from sqlalchemy.exc import IntegrityError

from features.errors import InputError
from pipeline.comparison.point import Point
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.report.report import write_report
from pipeline.report.results import load_result, newest
from pipeline.search import storage
from pipeline.search.journal import _KernelLock
from pipeline.search.storage import Heartbeats, Leases, open_storage, quiet
from pipeline.search.study import Study
from tests.conftest import debug_config
from tests.pipeline.browser import assert_is_whole, chromium, opened
from tests.pipeline.postgres import postgres_url
from tests.pipeline.search.searching import assert_whole, kill_one, start

THIRTY = ("search.trials=30", "search.workers=3", "train.max_steps=0", "train.epochs=3")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    yield from postgres_url()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


def study_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> Study:
    return Study(debug_config(folder, "search.trials=2", *overrides), few[1])


def test_tables_that_another_machine_is_making_are_waited_for(
    tmp_path: Path, few: tuple[RunConfig, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two commands that begin on an empty database at the same moment, one finds half of them."""
    made = list[None]()

    def racing(*args: Any, **options: Any) -> RDBStorage:
        made.append(None)
        if len(made) == 1:
            raise IntegrityError("CREATE TYPE studydirection", None, Exception("duplicate key value"))
        return RDBStorage(*args, **options)

    monkeypatch.setattr(storage, "RDBStorage", racing)
    study_in(tmp_path, few, f"search.storage=sqlite:///{tmp_path}/study.db")
    assert len(made) == 2


def point(place: int) -> Point:
    return Point(place, "uniform", {}, val={"income": 0.9, "marital": 0.8, "education": 0.7})


def work_through(study: Study) -> None:
    while not study.is_over():
        with study.take() as trial:
            assert trial is not None
            place = study.place_of(trial)
            assert study.space.choose(trial).method.startswith("gradops(alpha=")
            study.finish(trial, point(place), [0.9, 0.8, 0.7], {"income": 0.1})


def test_a_study_on_postgresql_takes_back_what_a_dead_worker_had(
    postgres: str, tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    options = (f"search.storage='{postgres}'", "search.heartbeat=1", "search.study=dead")
    study, other = (study_in(tmp_path, few, *options) for _ in range(2))
    assert isinstance(study._watch, Heartbeats)
    study.fill()
    (first, _) = study._waiting()
    study._storage.record_heartbeat(first._trial_id)  # type: ignore[attr-defined]
    assert study._claimed(study._study(), first)
    with other.take() as trial:
        assert trial is not None
        assert other.place_of(trial) == 1, "the first is somebody's, whose last sign of life is not old"
    time.sleep(2.5)
    work_through(other)
    assert [p.trial for p in other.points()] == [0, 1]
    assert not other.running()
    study.finish(study._trial(first), point(0), [0.1, 0.1, 0.1], {})  # too late: what the other has found counts
    assert [t.values for t in study._study().best_trials] == [[0.9, 0.8, 0.7]] * 2 or not study._study().best_trials


def test_a_worker_that_lives_keeps_its_trial(postgres: str, tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    options = (f"search.storage='{postgres}'", "search.heartbeat=1", "search.study=alive")
    study, other = (study_in(tmp_path, few, *options) for _ in range(2))
    study.fill()
    with study.take() as trial:
        time.sleep(2.5)
        with other.take() as another:
            assert trial is not None
            assert another is not None
            assert trial.number != another.number
        assert study.running() == {trial.number}
    assert not study.running()


def test_a_place_that_two_processes_filled_is_finished_once(
    postgres: str, tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    study = study_in(tmp_path, few, f"search.storage='{postgres}'", "search.study=twice")
    study.fill()
    study._study().enqueue_trial({}, user_attrs={"gradops.place": 1})
    work_through(study)
    with study.take() as trial:
        assert trial is None
    assert [t.state for t in study._study().trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]


def test_a_study_behind_a_proxy(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    storage, _ = open_storage(debug_config(tmp_path))
    with quiet():
        serve = threading.Thread(
            target=run_grpc_proxy_server, args=(storage,), kwargs={"host": "localhost", "port": port}, daemon=True
        )
        serve.start()
    study = study_in(tmp_path, few, f"search.storage=grpc://localhost:{port}")
    assert isinstance(study._watch, Leases)
    study.fill()
    work_through(study)
    assert [p.trial for p in study.points()] == [0, 1]


@pytest.mark.parametrize("url", ["postgresql+psycopg://me:secret@localhost:1/none", "nothing://x", "mysql://x/y"])
def test_a_storage_that_cannot_be_reached_is_one_error(
    url: str, tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    with pytest.raises(InputError, match="cannot be reached") as caught:
        study_in(tmp_path, few, f"search.storage='{url}'")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", pytest.param("gp", marks=pytest.mark.slow), "grid"])
def test_a_study_that_was_given_back_chooses_the_same(
    sampler: str, tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    """What a trial chooses follows from its place and the points before it, whoever chooses, however often."""
    chosen = []
    for name, breaks in (("broken", True), ("whole", False)):
        options = (f"search.sampler={sampler}", "search.trials=12", "search.grid=12", f"search.study={name}")
        ranges = 'search.ranges={"train.lr"={low=1e-3,high=1e-2,log=true}}'
        options += ("search.methods=['gradops', 'cagrad']", *(() if sampler == "grid" else (ranges,)))
        alphas = []
        for place in range(12):
            for _ in range(2 if breaks else 1):
                study = study_in(tmp_path, few, *options)
                study.fill()
                with study.take() as trial:
                    assert trial is not None
                    choice = study.space.choose(trial)
                    if breaks and place % 3 == 1 and _ == 0:
                        continue
                    value = float(choice.params.get("alpha", 0.0))
                    study.finish(trial, point(place), [-(value**2), value, -abs(value - 1)], {})
                    alphas.append(choice)
                    break
        chosen.append(alphas)
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 12


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = debug_config(tmp_path, "search.trials=2")
    Study(config, few[1]).fill()
    journal = config.runs / "studies" / "debug.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 5, "worker')
    lock = _KernelLock(journal)
    lock.acquire()
    lock.release()
    assert journal.read_bytes() == whole
    assert len(Study(config, few[1])._waiting()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_thirty_trials_of_three_workers_one_of_whom_is_killed_twice(
    kind: str, postgres: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    storage = (f"search.storage='{postgres}'", "search.heartbeat=2") if kind == "postgresql" else ()
    options, log = (*THIRTY, *storage), tmp_path / "log"
    command = start(tmp_path, log, *options)
    for after in (5, 15):
        kill_one(command, log, after)
    assert command.wait(1000) == 0, log.read_text()
    config = debug_config(tmp_path, *options)
    assert_whole(config, 30)
    write_report(load_result(newest(config.runs, "debug")), tmp_path / "study.html")
    page = opened(browser, tmp_path / "study.html")
    assert_is_whole(page)
    assert all(page.points(f"pair-{i}") == 32 for i in range(3)), "every trial, single-task and uniform"
    assert page.points("gains") == 2 * 30 * 3, "two splits, every alpha, three tasks"


@pytest.mark.slow
def test_a_second_command_joins(tmp_path: Path) -> None:
    options, logs = (
        ("search.trials=12", "train.max_steps=0", "train.epochs=8"),
        [tmp_path / "a.log", tmp_path / "b.log"],
    )
    commands = [start(tmp_path, log, *options) for log in logs]
    assert [command.wait(600) for command in commands] == [0, 0]
    config = debug_config(tmp_path, *options)
    assert_whole(config, 12)
    storage, _ = open_storage(config)
    with quiet():
        assert len(optuna.load_study(study_name="debug", storage=storage).trials) == 12
