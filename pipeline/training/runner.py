"""Finds or trains planned runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gradops.group import Alone, Group
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import Callback, PlannedRun
from pipeline.runs.run import Epoch, Run, find_run
from pipeline.runtime.cores import available_cores
from pipeline.training.distributed import once
from pipeline.training.parallel import train_in_processes
from pipeline.training.training import remove_checkpoints, train


def concurrency(workers: int, runs: int) -> int:
    """Number of runs trained at the same time; 0 workers stand for one worker a core."""
    return min(workers or available_cores(), runs)


def find_or_train(
    planned: list[PlannedRun],
    prepared: Prepared,
    callbacks: Sequence[Callback],
    workers: int,
    group: Group = Alone(),
) -> list[Run]:
    """Every planned run, in order: found if it is finished, otherwise trained.

    Finished runs are found by their config and the data's fingerprint, and unfinished ones by their checkpoints, so an
    interrupted comparison goes on where it stopped and a longer one trains only the new runs.

    Args:
        planned: The runs.
        prepared: The data.
        callbacks: Called after every epoch and at the end of every run.
        workers: Number of runs trained at the same time; 0 for one run a core.
        group: The ranks that train each run together, one run after another, each of which calls this.
    """
    callback = CallbackList(callbacks)
    found = once(lambda: [_found(p.config, prepared) for p in planned], group)
    for p, run in zip(planned, found, strict=True):
        if run is not None:
            callback.on_run_end(p, run, reused=True)
    missing = [p for p, run in zip(planned, found, strict=True) if run is None]
    at_a_time = concurrency(workers, len(missing)) if group.size == 1 else 1
    trained = iter(_train_all(missing, prepared, callback, at_a_time, group))
    return [next(trained) if run is None else run for run in found]


@dataclass(frozen=True)
class CallbackList:
    """Several callbacks as one.

    Args:
        callbacks: The callbacks.
    """

    callbacks: Sequence[Callback]

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """As :meth:`pipeline.runs.plan.Callback.on_epoch`."""
        for callback in self.callbacks:
            callback.on_epoch(planned, epoch)

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """As :meth:`pipeline.runs.plan.Callback.on_run_end`."""
        for callback in self.callbacks:
            callback.on_run_end(planned, run, reused)


def _found(config: RunConfig, prepared: Prepared) -> Run | None:
    """A finished run, if there is one; checkpoints that a killed process left are removed."""
    run = find_run(config, prepared)
    if run is not None:
        remove_checkpoints(config, prepared)
    return run


def _train_all(
    planned: list[PlannedRun], prepared: Prepared, callback: Callback, workers: int, group: Group
) -> list[Run]:
    """Train, in this process or in several, and return the runs in the order of the plan."""
    if workers > 1:
        return train_in_processes(planned, prepared, callback, workers)
    finished = []
    for p in planned:
        finished.append(train(p.config, prepared, partial(callback.on_epoch, p), group))
        callback.on_run_end(p, finished[-1], reused=False)
    return finished
