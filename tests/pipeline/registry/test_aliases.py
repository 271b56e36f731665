"""`champion` and `previous` move together, by one process at a time, and an unfinished move is finished later."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from pipeline.registry.aliases import AliasMove, finish_moves, swap_aliases
from pipeline.registry.model import RegisteredModel
from pipeline.registry.promotion import rollback
from pipeline.tracking.store import connect
from tests.conftest import ROOT

SOON = 0.1  # seconds of patience with a process that was killed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three versions without anything in them."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        client = connect()
        client.create_registered_model("shop")
        for _ in range(3):
            client.create_model_version("shop", str(folder))
    return folder / "mlflow.db"


@pytest.fixture
def model(store: Path, tmp_path: Path) -> RegisteredModel:
    shutil.copy(store, tmp_path / "mlflow.db")
    return RegisteredModel("shop")


def point_aliases(model: RegisteredModel, **numbers: int) -> None:
    for alias, number in numbers.items():
        model.point(alias, number)


def test_a_move_that_failed_half_way_is_finished_by_the_next_command(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_aliases(model, champion=2, previous=1)
    point = RegisteredModel.point

    def failing(self: RegisteredModel, alias: str, number: int) -> None:
        if alias == "champion":
            raise ConnectionError("the server went away")
        point(self, alias, number)

    monkeypatch.setattr(RegisteredModel, "point", failing)
    with pytest.raises(ConnectionError):
        swap_aliases(model, AliasMove(3, 2, {"3": {"promoted": "then"}, "2": {"replaced": "then"}}))
    assert model.aliases == {"champion": 2, "previous": 2}
    monkeypatch.setattr(RegisteredModel, "point", point)
    rollback("shop", "at once", SOON)
    assert model.aliases == {"champion": 2, "previous": 3}
    assert model.version(3).tags["promoted"] == model.version(2).tags["replaced"] == "then"
    assert model.acquired() is None


MOVING = """
import os, signal, sys
from pipeline.registry.aliases import AliasMove, swap_aliases
from pipeline.registry.model import RegisteredModel
candidate, killed_at = map(int, sys.argv[1:])
moves, point = iter(range(9)), RegisteredModel.point
def until_killed(*arguments):
    if next(moves) == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    point(*arguments)
RegisteredModel.point = until_killed
model = RegisteredModel("shop")
print("ready", flush=True)
sys.stdin.readline()
print(swap_aliases(model, AliasMove(candidate, 1, {})), flush=True)
"""


@contextmanager
def moving(candidate: int, *, killed_at: int = -1) -> Iterator[subprocess.Popen[str]]:
    """Another process, which is ready to move the champion from version 1 to another one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", MOVING, str(candidate), str(killed_at)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
def test_of_two_processes_that_judged_against_one_champion_one_wins(model: RegisteredModel) -> None:
    point_aliases(model, champion=1)
    with moving(2) as one, moving(3) as other:
        begin(one)
        begin(other)
        said = [process.communicate(timeout=120)[0].strip() for process in (one, other)]
    assert sorted(said) == ["False", "True"]
    assert model.aliases == {"champion": [2, 3][said.index("True")], "previous": 1}
    assert model.acquired() is None


@pytest.mark.slow
@pytest.mark.parametrize(("killed_at", "left"), [(0, {"champion": 1}), (1, {"champion": 1, "previous": 1})])
def test_a_process_killed_while_it_moves_leaves_a_champion_and_the_next_command_finishes(
    model: RegisteredModel, killed_at: int, left: dict[str, int]
) -> None:
    point_aliases(model, champion=1)
    with moving(3, killed_at=killed_at) as process:
        begin(process)
        assert process.wait(timeout=120) == -signal.SIGKILL
    assert model.aliases == left
    finish_moves(model, SOON)
    assert model.aliases == {"champion": 3, "previous": 1}


def test_a_champion_that_was_set_by_hand_after_a_kill_stays(model: RegisteredModel) -> None:
    point_aliases(model, champion=1)
    assert model.acquire({"champion": 3, "before": 2, "tags": {}, "id": "lost"})
    finish_moves(model, SOON)
    assert (model.aliases, model.acquired()) == ({"champion": 1}, None)


def test_a_process_that_was_taken_for_killed_moves_nothing(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has finished its move, released the record, and acquired a move of its own."""
    point_aliases(model, champion=1)
    acquire = RegisteredModel.acquire

    def stalled(self: RegisteredModel, content: dict[str, Any]) -> bool:
        taken = acquire(self, content)
        model.release()
        assert acquire(model, {"champion": 2, "before": 1, "tags": {}, "id": "another"})
        return taken

    monkeypatch.setattr(RegisteredModel, "acquire", stalled)
    assert not swap_aliases(model, AliasMove(3, 1, {}), SOON)
    assert model.aliases == {"champion": 1}
    assert (model.acquired() or {})["id"] == "another"


def test_a_move_is_ours_if_only_the_answer_of_acquiring_it_was_lost(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store made the record, and MLflow's own retry is told that there is one already."""
    point_aliases(model, champion=2, previous=1)
    create = MlflowClient.create_registered_model

    def twice(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(MlflowClient, "create_registered_model", create)
        create(*arguments, **options)
        return create(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_registered_model", twice)
    assert rollback("shop", "at once", SOON).champion == 1
    assert model.aliases == {"champion": 1, "previous": 2}
    assert model.acquired() is None


def test_a_move_waits_for_one_that_is_being_made(model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    point_aliases(model, champion=1)
    waited: list[float] = []
    assert model.acquire({"champion": 2, "before": 1, "tags": {}, "id": "another"})

    def wait(seconds: float) -> None:
        waited.append(seconds)
        model.point("champion", 2)
        model.release()

    monkeypatch.setattr(time, "sleep", wait)
    assert not swap_aliases(model, AliasMove(3, 1, {}), patience=60)
    assert len(waited) == 1
    assert model.aliases == {"champion": 2}


def test_a_record_that_vanishes_while_it_is_read_is_none(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.acquire({"champion": 2})
    whole = model.client.get_registered_model

    def half(name: str) -> Any:
        found = whole(name)
        found._tags.clear()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(model.client, "get_registered_model", half)
        assert model.acquired() is None
    assert model.acquired() == {"champion": 2}
    model.release()
