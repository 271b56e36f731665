"""Runs that are stopped in the middle of a step, and the comparison with one that was not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Batch
from pipeline.runs.run import WEIGHTS, Run, checkpoints_of, depends_on
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.trainer import Trainer
from pipeline.training.training import train
from tests.conftest import debug_config

# Two epochs of 16 steps and half a third one.
LONGER = ("train.max_steps=40", "train.epochs=3", "train.lr=0.01", "train.checkpoint_every=8")


def config_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> RunConfig:
    return debug_config(folder, *LONGER, f"data.prepared={few[0].data.prepared}", *overrides)


def unbroken_run(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> Run:
    return train(config_in(folder / "unbroken", few, *overrides, "train.checkpoint_every=1000"), few[1])


def checkpoints(config: RunConfig, prepared: Prepared) -> Checkpoints:
    return Checkpoints(checkpoints_of(config, prepared), depends_on(config, prepared), config.train.keep_checkpoints)


def newest_step(config: RunConfig, prepared: Prepared) -> int:
    state = checkpoints(config, prepared).newest()
    assert state is not None
    return int(state["step"])


def assert_same(run: Run, unbroken: Run) -> None:
    """All of it but the time that it took."""
    ours, theirs = (load_file(r.folder / WEIGHTS) for r in (run, unbroken))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert timeless(run) == timeless(unbroken)


def timeless(run: Run) -> Run:
    return replace(run, folder=Path(), history=[replace(epoch, seconds=0.0) for epoch in run.history])


class KilledError(Exception):
    """Stands for the end of a process that saves nothing any more."""


@contextmanager
def at_step(number: int, event: Callable[[], None]) -> Iterator[None]:
    """Something happens in the middle of a step."""
    step = Trainer._train_on

    def eventful(self: Trainer, batch: Batch) -> Tensor:
        if self.step == number:
            event()
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_on", eventful)
        yield


def kill() -> None:
    raise KilledError


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)
