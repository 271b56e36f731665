"""The commands as a user meets them: exit codes, messages, and what `--json` prints."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest
from filelock import FileLock

from jobs.cli import COMMANDS
from jobs.compare import split_methods
from tests.commands import DEBUG, GRADOPS, places, run, wait_until


def test_every_command_explains_itself() -> None:
    for command in COMMANDS:
        code, out, _ = run(command, "--help")
        assert code == 0
        assert "--json" in out
        assert f"Example: gradops {command}" in " ".join(out.split())


def test_a_command_without_a_config_takes_the_only_one_of_the_folder() -> None:
    code, _, err = run("prepare")
    assert code == 2
    assert "no config is named, and" in err
    assert "has none; give its path, or write one with `gradops init DATA`" in err
    Path("pyproject.toml").write_text("[project]\nname = 'other'\n")
    Path("shop.toml").write_text(f"extends = '{DEBUG}'\n")
    code, _, err = run("prepare", *places())
    assert code == 0, err
    assert "config: shop.toml" in err
    Path("other.toml").write_text("[data\n")
    for command in ("prepare", "report"):
        code, _, err = run(command)
        assert code == 2
        assert "has several: other.toml, shop.toml; give one of them" in err


@pytest.mark.parametrize("command", ["prepare", "train", "compare", "search"])
def test_a_typo_is_exit_code_2_and_one_message(command: str) -> None:
    code, out, err = run(command, DEBUG, "--set", "train.epoch=3", "--set", "train.lr=0")
    assert code == 2
    assert not out
    assert "2 problem(s)" in err
    assert "did you mean `epochs`?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "There is no command 'bogus'; the commands are: doctor, fetch, synth,"),
        (["serch", DEBUG], "There is no command 'serch'; did you mean `search`?"),
        (["fetch", "cens"], "'cens' is not one of census, movielens; did you mean `census`?"),
        (["synth", "clicklg"], "'clicklg' is not one of clicklog; did you mean `clicklog`?"),
        (["compare", DEBUG, "--ties", "ordnal"], "is not one of average, ordinal; did you mean `ordinal`?"),
        (["daily", DEBUG, "--date", "31.1."], "Invalid value for '--date': '31.1.' is no day such as 2026-01-31"),
        (["daily", DEBUG, "--date", "2026-01-31", "--no-admit"], "No such option: --no-admit"),
        (["report", "shp"], "no result of `shp` in runs/comparisons or runs/studies; run `gradops compare`"),
        (["report", "shp"], "or name another config, file or folder (--runs)"),
    ],
)
def test_a_wrong_word_is_told_with_the_nearest_or_with_all(arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert not out
    assert message in " ".join(err.replace("│", " ").split())


def test_a_default_day_is_shown_without_a_time() -> None:
    _, out, _ = run("synth", "clicklog", "--help")
    assert "(2026-01-01)" in out
    assert "00:00" not in out


def test_a_missing_column_is_exit_code_2(tmp_path: Path) -> None:
    code, _, err = run("prepare", DEBUG, *places(), "--set", 'spec.features.shoe_size={kind="numeric"}')
    assert code == 2
    assert "column `shoe_size` (feature `shoe_size`) is missing from data.train" in " ".join(err.split())


def test_prepare_and_train_print_json_and_are_safe_to_repeat() -> None:
    code, out, _ = run("prepare", DEBUG, *places(), "--json")
    assert code == 0
    assert json.loads(out)["splits"]["train"]["rows"] == 2000
    results = [run("train", DEBUG, *places(), "--json") for _ in range(2)]
    assert [code for code, _, _ in results] == [0, 0]
    first, second = (json.loads(out) for _, out, _ in results)
    assert first == second
    assert first["test"]["marital"]["auc"] > 0.8
    assert "found done" in results[1][2]


def test_compare_prints_the_table_and_the_registered_model() -> None:
    options = ["--methods", "uniform, gradops(alpha=-2)", "--seeds", "1", "--epochs", "1", "--workers", "1"]
    code, out, err = run("compare", DEBUG, *places(), *options)
    assert code == 0, err
    for part in ("single-task", "gradops(alpha=-2.0)", "Δm% (drop)", "Mean Rank", "champion → version", "mlflow ui"):
        assert part in out
    code, out, _ = run("compare", DEBUG, *places(), *options, "--ties", "ordinal", "--json")
    assert code == 0
    printed = json.loads(out)
    assert [row["system"] for row in printed["table"]] == ["single-task", "uniform", "gradops(alpha=-2.0)", "boosting"]
    assert printed["aliases"].keys() == {"champion", "balanced", "best-income", "best-marital", "best-education"}


def test_a_second_run_of_the_same_config_is_exit_code_4() -> None:
    Path("debug/runs").mkdir(parents=True)
    with FileLock("debug/runs/debug.lock"):
        code, _, err = run("train", DEBUG, *places())
    assert code == 4
    assert "another run holds" in err


def tell(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)


def tell_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """What a terminal does at Ctrl-C, and some schedulers do: workers and all."""
    os.killpg(process.pid, number)


LONG = ("--set", "train.max_steps=0", "--epochs", "1000", "--workers", "2", "--methods", "uniform,pcgrad")


def start_comparison(log: TextIO) -> subprocess.Popen[bytes]:
    """A comparison of five long runs, two at a time."""
    command = [*GRADOPS, "compare", DEBUG, *places(), *LONG]
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def children(process: subprocess.Popen[bytes]) -> list[str]:
    """The processes that a process has started."""
    found = [path.read_text().split() for path in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return [child for some in found for child in some]


def assert_nothing_is_left(started: subprocess.Popen[bytes], said: str) -> None:
    """No process, no lock, no run that MLflow shows as running, no traceback, and one line as the last one."""
    wait_until(lambda: is_empty(started.pid), seconds=30)
    assert said.splitlines()[-1] == "interrupted; the same command goes on from there"
    assert "Traceback" not in said
    assert "Exception" not in said
    with FileLock("debug/runs/debug.lock", timeout=0), sqlite3.connect("mlflow.db") as store:
        assert not store.execute("select run_uuid from runs where status = 'RUNNING'").fetchall()


@pytest.mark.slow  # a signal in the middle of an import, which a busy machine makes long
def test_ctrl_c_while_workers_start_ends_all_of_them(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        started = start_comparison(log)
        wait_until(lambda: len(children(started)) >= 2, seconds=240)
        tell_all(started, signal.SIGINT)
        assert started.wait(60) == 130
    assert_nothing_is_left(started, (tmp_path / "log").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "number", "code"),
    [(tell_all, signal.SIGINT, 130), (tell, signal.SIGTERM, 130), (tell, signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_comparison_that_is_ended_saves_its_steps_and_begins_none_of_its_queue(
    end: Callable[[subprocess.Popen[bytes], signal.Signals], None], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log:
        started = start_comparison(log)
        wait_until(lambda: (tmp_path / "log").read_text().count("epoch 2/") >= 2, seconds=240)
        end(started, number)
        assert started.wait(30) == code
    wait_until(lambda: is_empty(started.pid), seconds=60)
    # What was trained is saved, if there was time: epochs are 16 steps, and no checkpoint was due yet.
    assert len(list(Path("debug/runs/checkpoints").glob("*/newest"))) == (0 if number == signal.SIGKILL else 2)
    assert not list(Path("debug/runs").glob("*/result.json"))
    if number != signal.SIGKILL:
        assert_nothing_is_left(started, (tmp_path / "log").read_text())


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_start_prints_no_traceback(tmp_path: Path) -> None:
    """While Python starts, there is nothing of ours that could be quiet."""
    chance = random.Random(0)
    for life in range(12):
        with (tmp_path / f"log-{life}").open("w") as log:
            started = start_comparison(log)
            time.sleep(chance.uniform(0.3, 12))
            tell_all(started, signal.SIGINT)
            assert started.wait(60) == 130
        said = (tmp_path / f"log-{life}").read_text()
        wait_until(lambda: is_empty(started.pid), seconds=30)  # noqa: B023  # called at once
        assert "interrupted" in said
        assert "Traceback" not in said


@pytest.mark.slow
def test_a_run_that_is_told_to_end_goes_on_where_it_was(tmp_path: Path) -> None:
    long = ["--set", "train.max_steps=0", "--set", "train.epochs=1000"]
    command = [*GRADOPS, "train", DEBUG, *places(), *long]
    steps = []
    for life in range(2):
        with (tmp_path / "log").open("w+") as log:
            started = subprocess.Popen(command, stderr=log)
            wait_until(lambda: f"epoch {3 * (life + 1)}/" in (tmp_path / "log").read_text(), seconds=240)  # noqa: B023
            started.send_signal(signal.SIGTERM)
            assert started.wait(120) == 130
        (pointer,) = Path("debug/runs/checkpoints").glob("*/newest")
        steps.append(int(pointer.read_text()))
    assert 48 <= steps[0] < steps[1]
    assert "Traceback" not in (tmp_path / "log").read_text()


def is_empty(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_fetch_from_a_folder_without_the_files_is_exit_code_2(tmp_path: Path) -> None:
    code, _, err = run("fetch", "census", "--from", str(tmp_path), "--to", str(tmp_path / "data"))
    assert code == 2
    assert "census-income.data[.gz] is missing" in " ".join(err.split())


def test_methods_are_split_at_commas_outside_parentheses() -> None:
    text = "uniform, static(weight=(0.5, 1.0, 1.5)),gradops(alpha=-2)"
    assert split_methods(text) == ["uniform", "static(weight=(0.5, 1.0, 1.5))", "gradops(alpha=-2)"]
