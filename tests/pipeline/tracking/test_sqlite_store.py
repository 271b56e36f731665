"""SQLite stores: first commands at the same time, stores left half made, and URIs of folders."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from features.errors import InputError
from jobs.console import WRONG_INPUT
from pipeline.doctor.doctor import examine_stores
from pipeline.tracking import sqlite_store
from pipeline.tracking.sqlite_store import half_made, make_tables
from pipeline.tracking.store import connect
from tests.commands import run
from tests.pipeline.small_shop import shop_config, shop_log, write, write_config

FIRST = """
import sys
from pipeline.tracking.store import connect
connect().create_experiment(sys.argv[1])
"""


def old(file: Path) -> Path:
    """The file as if its last change was a minute ago."""
    os.utime(file, (time.time() - 60,) * 2)
    return file


def store_with(*statements: str) -> Path:
    """A SQLite file after some statements."""
    with sqlite3.connect("mlflow.db") as connection:
        for statement in statements:
            connection.execute(statement)
    return old(Path("mlflow.db"))


TABLES = ("CREATE TABLE runs (run TEXT)", "CREATE TABLE alembic_version (version_num TEXT)")


def test_first_commands_at_the_same_time_all_record() -> None:
    names = ["a", "b", "c"]
    began = [subprocess.Popen([sys.executable, "-c", FIRST, name], stderr=subprocess.PIPE) for name in names]
    errors = [process.communicate()[1].decode() for process in began]
    assert [process.returncode for process in began] == [0, 0, 0], [error.strip()[-300:] for error in errors]
    assert half_made(Path("mlflow.db")) == ""
    found = connect().search_experiments(view_type=ViewType.ALL)
    assert {experiment.name for experiment in found} == {"Default", *names}


def test_a_command_waits_for_another_that_takes_long_to_make_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "_PATIENCE", 0.1)
    begun, order = threading.Event(), []

    def make_slowly() -> None:
        store_with(*TABLES)
        begun.set()
        time.sleep(1.5)
        order.append("made")
        store_with("INSERT INTO alembic_version VALUES ('39d1c3be5f05')")

    with ThreadPoolExecutor() as pool:
        first = pool.submit(make_tables, Path("mlflow.db"), make_slowly)
        assert begun.wait(30)
        make_tables(Path("mlflow.db"), lambda: order.append("made twice"))
        first.result()
    assert order == ["made"]


@pytest.mark.parametrize(
    "statements",
    [
        (*TABLES, "INSERT INTO alembic_version VALUES ('39d1c3be5f05')", "CREATE TABLE _alembic_tmp_runs (run TEXT)"),
        TABLES,
        (*TABLES, "INSERT INTO alembic_version VALUES ('39d1c3be5f05'), ('a8c4a736bde6')"),
        TABLES[:1],
    ],
    ids=["a migration's table is left", "no revision", "two revisions", "no table of revisions"],
)
def test_a_store_left_half_made_is_wrong_input_with_the_way_out(statements: tuple[str, ...]) -> None:
    file = store_with(*statements)
    content = file.read_bytes()
    with pytest.raises(InputError, match=r"was left half made .*; move the file away and run the command again"):
        connect()
    (finding,) = [finding for finding in examine_stores([]) if not finding.ok]
    assert finding.subject == "tracking store"
    assert "half made" in finding.found
    assert "move the file away" in finding.fix
    assert file.read_bytes() == content


def test_a_command_ends_before_it_trains_where_the_store_is_half_made() -> None:
    write(shop_log(600))
    store_with(*TABLES)
    code, _, said = run("train", str(write_config()))
    assert code == WRONG_INPUT
    assert "half made" in said
    assert not list(Path("runs").glob("*/result.json"))


def test_a_file_that_is_no_database_is_wrong_input() -> None:
    Path("mlflow.db").write_text("no database, only text " * 100)
    with pytest.raises(InputError, match=r"mlflow.db is no SQLite database .*move it away"):
        connect()


@pytest.mark.parametrize(
    "statements", [(), ("CREATE TABLE runs (run TEXT)", "DROP TABLE runs"), ("CREATE TABLE x (y TEXT)",)]
)
def test_an_empty_file_is_a_new_store(statements: tuple[str, ...]) -> None:
    assert half_made(store_with(*statements)) == ""


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/tmp/mlruns", "file:./mlruns", "file:///tmp/mlruns"])
def test_a_folder_of_files_is_wrong_input(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match=r"folder of files as a store no longer; unset it for sqlite:///mlflow.db"):
        connect()
    assert not list(Path().iterdir())


def test_a_folder_that_mlflow_was_told_to_take_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert connect().search_experiments(max_results=1)


def test_a_command_says_that_a_folder_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop_log(600))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    code, _, said = run("train", str(write_config()))
    assert code == WRONG_INPUT
    assert "MLFLOW_TRACKING_URI=./mlruns: MLflow takes a folder of files" in said


def test_the_doctor_finds_the_deleted_experiment_of_a_config() -> None:
    config = shop_config()
    client = connect()
    assert all(finding.ok for finding in examine_stores([config]))
    experiment = client.create_experiment("shop")
    client.delete_experiment(experiment)
    (finding,) = [finding for finding in examine_stores([config]) if not finding.ok]
    assert (finding.subject, finding.found) == ("experiment", "`shop` is deleted")
    assert f"mlflow experiments restore -x {experiment}" in finding.fix
