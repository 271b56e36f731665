"""`gradops search --budget` on a generated log: killed, resumed, finished, and given a larger budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from optuna.trial import TrialState

from pipeline.comparison.result_file import StudyFile
from pipeline.evaluation.pareto import pareto_mask
from pipeline.report.report import write_report
from pipeline.report.results import load_result, newest
from pipeline.runs.run import Run
from pipeline.search.journal import journal_of, open_journal
from pipeline.training.resolve import load_config
from tests.pipeline.clicks import CLICKS_TOML, click_log
from tests.pipeline.search.searching import finished, wait_until

BUDGET = 60.0  # seconds, of the command's two starts together


def search(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, on a config without a section `[search]`."""
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "search", "clicks.toml", *options]
    with (folder / "output").open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, cwd=folder, start_new_session=True)


def write_log(folder: Path) -> None:
    """Six days of clicks of two thousand users, each with a taste of its own for a purchase and for a wish."""
    generator = np.random.default_rng(0)
    taste = generator.random((2000, 2))
    for day in range(6):
        (folder / "log" / str(day)).mkdir(parents=True)
        user = generator.integers(0, len(taste), 3000)
        labels = (generator.random((3000, 2)) < 0.6 * taste[user]).astype(int)
        columns = {"user": user, "bought": labels[:, 0], "wished": labels[:, 1]}
        rows = click_log(3000, day).with_columns(**{name: pl.Series(values) for name, values in columns.items()})
        rows.write_parquet(folder / "log" / str(day) / "part.parquet")
    (folder / "clicks.toml").write_text(CLICKS_TOML.replace(", buckets = 50", ""))


def study_of(folder: Path) -> tuple[dict[str, Any], list[TrialState]]:
    """The study's attributes and the states of its trials."""
    storage = open_journal(journal_of(load_config(folder / "clicks.toml", ['search={preset="best"}'])))
    (study,) = storage.get_all_studies()
    return storage.get_study_user_attrs(study._study_id), [t.state for t in storage.get_all_trials(study._study_id)]


def spent(attributes: dict[str, Any]) -> float:
    return sum(float(value) for key, value in attributes.items() if key.startswith("gradops.spent."))


@pytest.mark.slow
def test_a_search_within_a_budget_is_killed_resumed_and_ends_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_log(tmp_path)
    log = tmp_path / "output"
    command, begun = search(tmp_path, "--budget", "1m", "--workers", "2"), time.monotonic()
    wait_until(lambda: finished(log) >= 2)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    killed_after = time.monotonic() - begun
    assert "clicks: search by the preset `best` for 1m" in log.read_text().splitlines()[1]
    before = spent(study_of(tmp_path)[0])
    assert killed_after - 20 < before < killed_after, "at most some seconds are forgotten"

    assert search(tmp_path, "--budget", "1m", "--workers", "2").wait(600) == 0, log.read_text()
    attributes, states = study_of(tmp_path)
    assert BUDGET <= spent(attributes) < BUDGET + 30
    assert TrialState.RUNNING not in states
    text = log.read_text()
    assert "still to try with a larger budget" in text
    config = load_config(tmp_path / "clicks.toml")
    result = load_result(newest(tmp_path / "runs", "clicks"))
    points = [point for point in result.points if point.trial is not None]
    assert [point.trial for point in points[:2]] == [0, 1]
    assert points[0].runs == next(p for p in result.points if p.method == "uniform" and p.trial is None).runs
    complete = [point for point in points if point.state == "complete"]
    assert [p.pareto for p in complete] == pareto_mask([[*p.val.values()] for p in complete])
    for point in complete:
        (run,) = [Run.load(config.runs / name) for name in point.runs]
        assert point.val == {task: run.val[task]["auc"] for task in config.tasks}
    chosen, *rest = result.file.verdicts
    assert chosen.startswith("Chosen by validation rows alone, and registered as `balanced`: `")
    assert [line.split("`")[1] for line in rest if line.startswith("Test AUC against")] == [
        "single-task",
        "uniform",
        "boosting",
    ]
    assert isinstance(result.file, StudyFile)
    models = result.file.chosen
    assert models[0].aliases[0] == "balanced"
    assert sum(model.is_network for model in models) >= 1, "the best network is always shown"
    assert {i.against for i in result.file.against_rivals} <= {"single-task", "uniform", "boosting"}
    assert {i.system for i in result.file.against_rivals} <= {model.name for model in models}
    assert result.file.serving.keys() <= {model.name.partition(": ")[2] or model.name for model in models}
    (curse,) = [line for line in rest if "The winner's curse" in line]
    assert f"{len(points)} trials ({len(complete)} complete)" in curse
    assert sum("Nested check on" in line for line in rest) == 1
    write_report(result, tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert "winner" in page
    assert "The chosen models" in page
    for model in models:
        assert escape(model.name) in page

    lines = len(text.splitlines())
    assert search(tmp_path, "--budget", "1m", "--workers", "2").wait(600) == 0
    assert "] trial " not in "\n".join(log.read_text().splitlines()[lines:][:6]), "what has ended only reports"
    assert len(load_result(result.path).points) == len(result.points)
    assert search(tmp_path, "--budget", "80s", "--workers", "2", "--json").wait(600) == 0
    assert len(load_result(result.path).points) >= len(result.points)
    content = json.loads(log.read_text()[log.read_text().rindex("\n{") :])
    assert content["chosen"][0]["aliases"][0] == "balanced"
    assert content["aliases"]["balanced"]
