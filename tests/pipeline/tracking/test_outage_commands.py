"""Commands whose tracking server goes away, and comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.tracking.pending import PendingRuns
from pipeline.tracking.store import connect
from pipeline.training.resolve import load_config
from tests.conftest import ROLES, ROOT
from tests.pipeline.search.searching import assert_whole
from tests.pipeline.server import Server, free_port
from tests.pipeline.tracking.records import assert_recorded_once


def places() -> list[str]:
    overrides = [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    return [part for override in (*overrides, "compare.boosting=false") for part in ("--set", override)]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [arguments[0], str(ROOT / "configs" / "debug.toml"), *places(), *arguments[1:]])
    return result.exit_code, result.stdout, result.stderr


def test_a_comparison_without_its_server_is_trained_and_registered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--methods", "uniform", "--epochs", "1", "--workers", "1")
    store = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{free_port()}")
    code, out, err = run("compare", *options)
    assert (code, out) == (1, "")
    assert "cannot be reached" in err
    assert "nothing can be registered without it" in err
    assert "s3cret" not in err
    assert "Traceback" not in err
    assert len(PendingRuns(Path("debug/runs")).waiting()) == 4
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    code, out, err = run("compare", *options, "--json")
    assert code == 0, err
    assert json.loads(out)["aliases"]["champion"] == 1
    assert "validation AUC" not in err, "nothing is trained again"
    assert not PendingRuns(Path("debug/runs")).waiting()
    client = connect()
    experiment = client.get_experiment_by_name("debug")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(r.info.status for r in runs) == ["FINISHED"] * 5
    assert len({r.data.tags.get("mlflow.parentRunId") for r in runs}) == 2


def epochs_in(log: Path) -> int:
    return log.read_text().count(": epoch ") if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("returns", ["in time", "too late"])
def test_a_real_server_that_is_killed_while_a_run_trains(returns: str, tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    log = tmp_path / "log"
    long = ("--set", "train.max_steps=0", "--set", "train.epochs=60")
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "train", str(ROOT / "configs" / "debug.toml")]
    environment = os.environ | {"MLFLOW_TRACKING_URI": server.uri, "PYTHONPATH": str(ROOT)}
    try:
        with log.open("w") as stream:
            training = subprocess.Popen([*command, *places(), *long], env=environment, stdout=stream, stderr=stream)
        for epochs in (5, 10):
            wait_until(lambda: epochs_in(log) >= epochs or training.poll() is not None)  # noqa: B023
            server.kill()
        if returns == "in time":
            training.send_signal(19)  # SIGSTOP: so that the server is there before the run's end, on any machine
            server.start()
            training.send_signal(18)
        assert training.wait(300) == 0, log.read_text()
        if returns == "too late":
            assert len(PendingRuns(Path("debug/runs")).waiting()) == 1
            server.start()
            subprocess.run([*command, *places(), *long], env=environment, check=True)
        assert log.read_text().count("cannot be reached") == 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", server.uri)
            (folder,) = [path.parent for path in Path("debug/runs").glob("*/result.json")]
            assert_recorded_once("debug", Run.load(folder))
        assert not PendingRuns(Path("debug/runs")).waiting()
    finally:
        server.kill()
        with suppress(ProcessLookupError):
            training.kill()


def wait_until(is_so: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_search_without_its_server_is_finished_and_registered_later(
    workers: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/search.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    code, out, err = run("search", "--trials", "4", "--workers", workers)
    assert (code, out) == (1, ""), err
    assert "nothing can be registered without it" in err
    assert "Traceback" not in err
    waiting = len(PendingRuns(Path("debug/runs")).waiting())
    assert waiting == 4 + 4, "single-task, uniform and the points"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    code, _, err = run("search", "--trials", "4", "--workers", workers)
    assert code == 0, err
    assert not PendingRuns(Path("debug/runs")).waiting()
    overrides = [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    assert_whole(load_config(ROOT / "configs" / "debug.toml", [*overrides, "search.trials=4"]), 4)


@pytest.mark.parametrize(
    "command",
    [
        ("promote", str(ROOT / "configs" / "debug.toml"), "--version", "1"),
        ("rollback", "debug"),
        ("score", "nothing.parquet", "out", "--model", "models:/debug@champion"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_needs_the_server_ends_with_one_message(
    few: tuple[RunConfig, Prepared], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{free_port()}")
    options = [*places(), "--set", f"data.prepared={few[0].data.prepared}"] if command[0] == "promote" else []
    result = CliRunner().invoke(app, [*command, *options])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be reached" in result.stderr
    assert "once it is back" in result.stderr
    assert "s3cret" not in result.stderr
    assert isinstance(result.exception, SystemExit), "no traceback"
