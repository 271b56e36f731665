"""Interruptions are held back, once, and never lost."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.runtime.signals import uninterrupted


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
