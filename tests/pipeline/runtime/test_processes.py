"""Workers report, fail, are lost, and end with the block that started them."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import pytest

from features.errors import InputError
from pipeline.runtime import processes
from pipeline.runtime.processes import LostWorkerError, Workers


def work(connection: Connection, order: str) -> None:
    match order:
        case "refuse":
            raise InputError("wrong input")
        case "fail":
            raise ZeroDivisionError("a bug")
        case "talk":
            while True:
                connection.send("x" * 1_000_000)
        case "wait":
            connection.send(os.getpid())
            threading.Event().wait()
        case "finish":
            signal.signal(signal.SIGTERM, lambda *_: time.sleep(0.5))
            connection.send(os.getpid())
            time.sleep(0.2)
        case number:
            connection.send(int(number))


def collected(*orders: str) -> list[Any]:
    found = []
    with Workers(work) as workers:
        for order in orders:
            workers.start(order)
        while len(workers):
            found += [message for _, message in workers.messages() if message is not None]
    return found


def test_messages_arrive_and_finished_workers_end() -> None:
    assert sorted(collected("1", "2")) == [1, 2]


@pytest.mark.parametrize(("order", "kind"), [("refuse", InputError), ("fail", ZeroDivisionError)])
def test_a_workers_error_is_raised_here(order: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as error:
        collected(order)
    notes = "".join(getattr(error.value, "__notes__", ()))
    assert ("in a worker process" in notes) == (kind is ZeroDivisionError), "a bug has the worker's traceback"


@pytest.mark.parametrize(
    ("error", "how"), [(KeyboardInterrupt, "another Ctrl-C ends"), (LostWorkerError, "Ctrl-C twice ends")]
)
def test_one_who_waits_for_workers_is_told_how_they_end_at_once(
    error: type[BaseException], how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SLOW", 0.01)

    def leave() -> None:
        with Workers(work) as workers:
            workers.start("finish")
            list(workers.messages())
            raise error

    with pytest.raises(error):
        leave()
    assert f"save what they do; {how} them at once" in caplog.text


def test_a_killed_worker_is_said_with_a_fix() -> None:
    with Workers(work) as workers:
        workers.start("wait")
        ((_, process),) = workers.messages()
        os.kill(process, signal.SIGKILL)
        with pytest.raises(LostWorkerError, match="killed by signal 9; often memory is short"):
            list(workers.messages())


def test_leaving_the_block_ends_workers_that_nobody_reads() -> None:
    """A worker that waits for a reader of its message would never end, and with it the command."""
    with Workers(work) as workers:
        workers.start("talk")
        workers.start("wait")
        list(workers.messages())
        time.sleep(0.2)
    assert not len(workers)


def test_an_interruption_while_a_worker_starts_waits_until_it_can_be_ended() -> None:
    workers = Workers(work)

    def start_many() -> None:
        with workers:
            threading.Timer(0.001, os.kill, (os.getpid(), signal.SIGINT)).start()
            for _ in range(20):
                workers.start("wait")

    with pytest.raises(KeyboardInterrupt):
        start_many()
    assert not len(workers)
