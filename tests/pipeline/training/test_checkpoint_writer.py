"""Checkpoints are written behind the steps, from a state that no step changes any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.checkpoint_writer import checkpoint_writer
from pipeline.training.packing import PackedState
from pipeline.training.training import train
from tests.pipeline.training.stopping import KilledError, assert_same, at_step, config_in, newest_step, unbroken_run

Few = tuple[RunConfig, Prepared]


@contextmanager
def writing(monkeypatch: pytest.MonkeyPatch, step: int, error: OSError | None = None) -> Iterator[threading.Event]:
    """The checkpoint of a step is written, or fails, only when the event is set."""
    go_on, write = threading.Event(), Checkpoints.write

    def waiting(self: Checkpoints, number: int, state: PackedState) -> None:
        if number == step:
            assert go_on.wait(60)
            if error is not None:
                raise InputError(self._unwritten(step, error)) from error
        write(self, number, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", waiting)
        yield go_on


def test_steps_go_on_while_one_is_written_and_it_has_the_state_of_its_step(
    tmp_path: Path, few: Few, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the end of an epoch, where the best weights are replaced."""
    options = ("train.table_optimizer=lazy_adam", "train.ema=0.9", "train.method=gradvac")
    config = config_in(tmp_path / "stopped", few, *options, "train.checkpoint_every=15")

    def killed() -> None:
        go_on.set()
        raise KilledError

    with writing(monkeypatch, 15) as go_on, at_step(29, killed), pytest.raises(KilledError):
        train(config, few[1])
    assert newest_step(config, few[1]) == 15
    assert_same(train(config, few[1]), unbroken_run(tmp_path, few, *options))


def test_a_failure_is_one_error_at_the_next_step(tmp_path: Path, few: Few, monkeypatch: pytest.MonkeyPatch) -> None:
    config, steps = config_in(tmp_path, few), list[int]()
    failing = writing(monkeypatch, 16, OSError(28, "No space left on device"))
    one_error = pytest.raises(InputError, match=r"step 16 cannot be written to .*: free some disk.* from step 8")
    with failing as go_on, at_step(20, go_on.set), one_error:
        train(config, few[1], lambda epoch: steps.append(epoch.step))
    assert steps == [16], "it ended long before the second epoch's end"
    assert newest_step(config, few[1]) == 8
    assert_same(train(config, few[1]), unbroken_run(tmp_path, few))


@pytest.mark.slow
def test_a_failure_is_told_though_another_error_ends_the_run(
    tmp_path: Path, few: Few, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def killed() -> None:
        go_on.set()
        raise KilledError

    failing = writing(monkeypatch, 16, OSError(28, "No space left on device"))
    with caplog.at_level(logging.WARNING), failing as go_on, at_step(18, killed), pytest.raises(KilledError):
        train(config_in(tmp_path, few), few[1])
    assert "step 16 cannot be written" in caplog.text


def test_only_one_is_written_at_a_time(tmp_path: Path) -> None:
    order, weights = list[str](), {"weights": torch.zeros(3)}

    class Slow(Checkpoints):
        def write(self, step: int, state: PackedState) -> None:
            order.append(f"{step} begins")
            super().write(step, state)
            order.append(f"{step} ends")

    slow = Slow(tmp_path / "checkpoints" / "run", {}, keep=2)
    with checkpoint_writer(slow, behind=True) as writer:
        for step in (1, 2, 3):
            weights["weights"].fill_(step)
            writer.save(step, weights)
            weights["weights"].fill_(torch.nan)
    assert order == [f"{step} {what}" for step in (1, 2, 3) for what in ("begins", "ends")]
    newest = slow.newest()
    assert newest is not None
    assert newest["weights"].tolist() == [3, 3, 3]


def test_without_it_a_run_waits_for_its_checkpoints(tmp_path: Path, few: Few, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, write = set[int](), Checkpoints.write

    def told(self: Checkpoints, step: int, state: PackedState) -> None:
        threads.add(threading.get_ident())
        write(self, step, state)

    monkeypatch.setattr(Checkpoints, "write", told)
    short = ("train.max_steps=9", "train.epochs=1")
    train(config_in(tmp_path / "waiting", few, *short, "train.async_checkpoints=false"), few[1])
    assert threads == {threading.get_ident()}
    train(config_in(tmp_path / "behind", few, *short), few[1])
    assert len(threads) == 2


def test_an_entry_that_nobody_changes_is_not_copied() -> None:
    state = {"model": {"w": torch.ones(2)}, "best": {"w": torch.ones(2)}}
    memory: dict[str, torch.Tensor] = {}
    packed = PackedState.of(state)
    first = packed.copied(("best",), memory)
    assert first.tensors["state.best.w"] is state["best"]["w"]
    assert first.tensors["state.model.w"] is not state["model"]["w"]
    state["model"]["w"].fill_(2)
    second = packed.copied(("best",), memory)
    assert second.tensors["state.model.w"] is first.tensors["state.model.w"], "memory is used again"
    assert second.tensors["state.model.w"].tolist() == [2, 2]
