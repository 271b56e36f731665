"""Planned runs, found where they are finished and trained where they are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gradops.group import Alone, Group
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import Observer, Planned
from pipeline.runs.run import Epoch, Run, find_run
from pipeline.training.distributed import once
from pipeline.training.parallel import train_in_processes
from pipeline.training.training import tidy, train


def concurrency(workers: int, runs: int) -> int:
    """How many of some runs are trained at the same time; 0 workers stand for one a core."""
    return min(workers or os.cpu_count() or 1, runs)


def complete(
    planned: list[Planned],
    prepared: Prepared,
    observers: Sequence[Observer],
    workers: int,
    group: Group = Alone(),
) -> list[Run]:
    """Every planned run, in order: found where it is finished, trained where it is not.

    Finished runs are found by their config and the data's fingerprint, and unfinished ones by their checkpoints, so an
    interrupted comparison goes on where it stopped and a longer one trains only what is new.

    Args:
        planned: What is wanted.
        prepared: The data.
        observers: Told of every epoch and run.
        workers: Runs trained at the same time; 0 for one a core.
        group: The ranks that train each run together, one run after another, each of which calls this.
    """
    everyone = Everyone(observers)
    found = once(lambda: [_found(p.config, prepared) for p in planned], group)
    for p, run in zip(planned, found, strict=True):
        if run is not None:
            everyone.finished(p, run, reused=True)
    missing = [p for p, run in zip(planned, found, strict=True) if run is None]
    at_a_time = concurrency(workers, len(missing)) if group.size == 1 else 1
    trained = iter(_train_all(missing, prepared, everyone, at_a_time, group))
    return [next(trained) if run is None else run for run in found]


@dataclass(frozen=True)
class Everyone:
    """Several observers as one.

    Args:
        observers: The observers.
    """

    observers: Sequence[Observer]

    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        """As :meth:`pipeline.runs.plan.Observer.epoch`."""
        for observer in self.observers:
            observer.epoch(planned, epoch)

    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        """As :meth:`pipeline.runs.plan.Observer.finished`."""
        for observer in self.observers:
            observer.finished(planned, run, reused)


def _found(config: RunConfig, prepared: Prepared) -> Run | None:
    """A finished run, tidied."""
    run = find_run(config, prepared)
    if run is not None:
        tidy(config, prepared)
    return run


def _train_all(planned: list[Planned], prepared: Prepared, observer: Observer, workers: int, group: Group) -> list[Run]:
    """Train, in this process or in several, and return the runs in the order of the plan."""
    if workers > 1:
        return train_in_processes(planned, prepared, observer, workers)
    finished = []
    for p in planned:
        finished.append(train(p.config, prepared, partial(observer.epoch, p), group))
        observer.finished(p, finished[-1], reused=False)
    return finished
