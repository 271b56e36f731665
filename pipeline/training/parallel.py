"""Trains runs at the same time, each in its own process, which ends with this one."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection

from pipeline.data.prepared import Prepared
from pipeline.runs.plan import UNIFORM, Callback, PlannedRun
from pipeline.runs.run import Epoch, Run
from pipeline.runtime.processes import Workers
from pipeline.training.training import train


def train_in_processes(planned: list[PlannedRun], prepared: Prepared, callback: Callback, workers: int) -> list[Run]:
    """Train planned runs, each in its own process, and return them in their order.

    A worker gets its next run when it has finished one: if this is interrupted, no run waits that would still begin.

    Args:
        planned: The runs.
        prepared: Their data.
        callback: Called after every epoch and at the end of every run, in this process.
        workers: Number of runs at the same time.

    Raises:
        LostWorkerError: If a worker was killed.
    """
    # The longest runs start first, so that no core is left with a long run at the end.
    waiting = deque(sorted(range(len(planned)), key=lambda i: planned[i].config.train.method == UNIFORM.name))
    running: dict[Connection, int] = {}
    finished: dict[int, Run] = {}

    def give_next(worker: Connection) -> None:
        running[worker] = waiting.popleft()
        with suppress(BrokenPipeError):  # of a worker that was killed just now: the next look at it says so
            worker.send(planned[running[worker]])

    with Workers(_train_each) as processes:
        for _ in range(min(workers, len(waiting))):
            give_next(processes.start(prepared))
        while len(finished) < len(planned):
            for worker, message in processes.messages():
                index = running[worker]
                if isinstance(message, Epoch):
                    callback.on_epoch(planned[index], message)
                else:
                    finished[index] = message
                    if waiting:
                        give_next(worker)
                    callback.on_run_end(planned[index], message, reused=False)
    return [finished[index] for index in range(len(planned))]


def _train_each(connection: Connection, prepared: Prepared) -> None:
    """Train the runs that the connection gives, until this worker is told to end."""
    while True:
        planned: PlannedRun = connection.recv()
        connection.send(train(planned.config, prepared, connection.send))
