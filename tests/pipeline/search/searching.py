"""Searches on a few rows, run as processes, and the checks on them at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.comparison.point import Point
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.search.journal import study_of
from pipeline.search.search import Search
from pipeline.search.searched import Searched
from pipeline.search.storage import open_storage
from pipeline.search.study import Study
from pipeline.tracking.store import connect
from tests.conftest import ROLES, ROOT

COMMAND = [sys.executable, "-c", "from jobs.cli import app; app()", "search", str(ROOT / "configs" / "debug.toml")]


@dataclass
class PointCounter:
    """Remembers the number of finished points."""

    points: int = 0

    def __call__(self, points: Sequence[Point]) -> None:
        self.points = len(points)


def searched(config: RunConfig, prepared: Prepared | None = None) -> Searched:
    """What the command does, in this process."""
    prepared = prepared or prepare(config)
    return Search(config, prepared, Study(config, prepared)).run([], PointCounter())[0]


def table(found: Searched) -> list[tuple[Any, ...]]:
    """What a search says, without the names of its MLflow runs."""
    return [(p.trial, p.method, p.params, p.state, p.val, p.test, p.pareto, p.runs) for p in found.points]


def start(folder: Path, log: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, writing into a folder."""
    places = [f"runs={folder}/runs", f"data.prepared={folder}/prepared"]
    places += [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    options = [part for override in (*places, *overrides) for part in ("--set", override)]
    with log.open("a") as stream:
        return subprocess.Popen([*COMMAND, *options], stderr=stream, stdout=stream, start_new_session=True)


def workers_of(group: int) -> list[int]:
    """The processes of a command that train."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = os.getpgid(int(entry.name)) == group
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if is_ours and b"spawn_main" in command:
            found.append(int(entry.name))
    return found


def finished(log: Path) -> int:
    """Number of finished points that a command has printed."""
    return log.read_text().count("] trial ") if log.exists() else 0


def kill_one(command: subprocess.Popen[bytes], log: Path, after: int) -> None:
    """SIGKILL a worker once a number of points are finished."""
    wait_until(lambda: finished(log) >= after or command.poll() is not None)
    assert command.poll() is None, log.read_text()
    os.kill(max(workers_of(command.pid)), signal.SIGKILL)


def wait_until(is_so: Any, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def assert_whole(config: RunConfig, trials: int) -> None:
    """As many finished trials as were asked for, each point once, none left running, all of it in MLflow."""
    storage, _ = open_storage(config)
    study = optuna.load_study(study_name=study_of(config), storage=storage)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.COMPLETE] == trials
    assert not states[TrialState.RUNNING]
    assert not states[TrialState.WAITING]
    places = [t.user_attrs["gradops.place"] for t in study.trials if t.state == TrialState.COMPLETE]
    assert sorted(places) == list(range(trials))
    files = (json.loads(path.read_text()) for path in (config.runs / "studies").glob("*.json"))
    (content,) = [content for content in files if content["name"] == study_of(config)]
    assert [point["trial"] for point in content["points"]] == list(range(trials))
    client = connect()  # another test of this process may have had another store
    experiment = client.get_experiment_by_name(config.name)
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    (parent,) = [run for run in runs.values() if run.data.tags.get("gradops.fingerprint") == content["fingerprint"]]
    assert parent.info.status == "FINISHED"
    assert not [run for run in runs.values() if run.info.status == "RUNNING"]
    for point in content["points"]:
        assert len(point["mlflow_run_ids"]) == config.search.seeds
        for run_id, fingerprint in zip(point["mlflow_run_ids"], point["runs"], strict=True):
            recorded = runs[run_id]
            assert recorded.info.status == "FINISHED"
            assert "mlflow.parentRunId" in recorded.data.tags
            assert recorded.data.tags["gradops.fingerprint"] == fingerprint
            assert (recorded.data.tags.get("gradops.pareto") == "true") == point["pareto"]
