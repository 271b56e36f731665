"""Interruptions are held back, once, and never lost; a second one ends a command at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.runtime import signals
from pipeline.runtime.signals import interruptible, uninterrupted
from tests.conftest import ROOT


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    signal.raise_signal(number)


def held(times: int, reached: list[str]) -> None:
    with uninterrupted():
        for _ in range(times):
            interrupt()
        reached.append("end of the block")
    reached.append("after the block")


def test_an_interruption_arrives_when_the_block_is_done() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        held(1, reached)
    assert reached == ["end of the block"]


def test_a_second_interruption_is_not_held() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        held(2, reached)
    assert reached == []


def test_blocks_within_blocks_wait_for_the_outermost() -> None:
    reached: list[str] = []

    def nested() -> None:
        with uninterrupted():
            held(1, reached)

    with pytest.raises(KeyboardInterrupt):
        nested()
    assert reached == ["end of the block", "after the block"]


def test_the_earlier_handler_is_called_and_put_back() -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: called.append(number))
    try:
        with uninterrupted():
            interrupt(signal.SIGTERM)
            assert not called
        interrupt(signal.SIGTERM)
        assert called == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_error_is_not_hidden_by_a_held_interruption() -> None:
    @uninterrupted()
    def fail() -> None:
        interrupt()
        raise ValueError("of the block")

    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert isinstance(caught.value.__context__, ValueError)


def test_a_patient_block_holds_every_one_and_sees_them() -> None:
    seen: list[int] = []

    def wait() -> None:
        with uninterrupted(patient=True) as held:
            for _ in range(3):
                interrupt()
            seen.extend(held)

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert seen == [signal.SIGINT] * 3


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted(patient=True) as held:
            interrupt()
        assert not held
    finally:
        signal.signal(signal.SIGINT, before)


def test_threads_are_left_alone() -> None:
    def work() -> int:
        with uninterrupted():
            return 1

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 1


def test_a_command_hears_one_interruption_however_often_it_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """By make or a scheduler, within a moment; the command's own end is not interrupted by it."""
    ended: list[int] = []
    monkeypatch.setattr(signals, "_end_at_once", lambda: ended.append(1))
    with interruptible(second_ends=True) as interruptions:
        assert not interruptions.has_arrived
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupt(signal.SIGTERM)
        with uninterrupted() as held:
            interrupt()
        assert interruptions.has_arrived
    assert not held
    assert not ended


@pytest.mark.parametrize("patient", [False, True])
def test_a_second_interruption_ends_a_command_even_in_a_block(patient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(signals, "_end_at_once", lambda: ended.append(1))
    monkeypatch.setattr(signals, "_ECHO", 0.0)

    @uninterrupted(patient=patient)
    def work() -> None:
        interrupt()
        assert not ended
        with uninterrupted():
            interrupt()
        assert ended

    with interruptible(second_ends=True), pytest.raises(KeyboardInterrupt):
        work()


def test_the_second_interruption_of_a_rank_is_the_first_one_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_ECHO", 0.0)
    heard: list[int] = []

    def work() -> None:
        with uninterrupted(patient=True) as held:
            interrupt()
            interrupt(signal.SIGTERM)
            heard.extend(held)

    with interruptible(second_ends=False), pytest.raises(KeyboardInterrupt):
        work()
    assert heard == [signal.SIGINT]


def test_a_command_in_the_background_does_not_hear_the_terminal() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(second_ends=True) as interruptions:
            interrupt()
        assert not interruptions.has_arrived
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interruption_that_python_ignores_comes_again() -> None:
    class Closed:
        def __del__(self) -> None:
            interrupt()

    def work() -> None:
        closed = Closed()
        del closed
        time.sleep(10)

    with interruptible(second_ends=True), pytest.raises(KeyboardInterrupt):
        work()


_SLOW_END = """
import threading
from pipeline.runtime.processes import Workers
from pipeline.runtime.signals import interruptible, uninterrupted

def work(connection):
    with uninterrupted(patient=True):
        connection.send(0)
        threading.Event().wait()

if __name__ == "__main__":
    with interruptible(second_ends=True), Workers(work) as workers:
        workers.start()
        list(workers.messages())
        try:
            print("works", flush=True)
            threading.Event().wait()
        finally:
            print("ends", flush=True)
"""


def test_the_first_interruption_waits_for_the_workers_and_the_second_does_not(tmp_path: Path) -> None:
    (tmp_path / "slow_end.py").write_text(_SLOW_END)
    command = [sys.executable, "slow_end.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "works\n"
        started.send_signal(signal.SIGINT)
        assert started.stdout.readline() == "ends\n"
        time.sleep(1)
        assert started.poll() is None, "its worker holds the signal"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)  # the worker holds these pipes, too, while it lives
    assert started.returncode == 130
    assert said.strip() == "ended at once; the same command goes on from what was saved before"
