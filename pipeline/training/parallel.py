"""Trains runs at the same time, each in its own process, which ends with this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing.managers import SyncManager
from queue import Empty, Queue

from pipeline.data.prepared import Prepared
from pipeline.runs.plan import UNIFORM, Callback, PlannedRun
from pipeline.runs.run import Epoch, Run
from pipeline.runtime.signals import end_with_parent
from pipeline.training.training import train


def train_in_processes(planned: list[PlannedRun], prepared: Prepared, callback: Callback, workers: int) -> list[Run]:
    """Train planned runs, each in its own process, and return them in their order.

    Args:
        planned: The runs.
        prepared: Their data.
        callback: Called after every epoch and at the end of every run, in this process.
        workers: Number of runs at the same time.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    manager = SyncManager(ctx=context)
    # Ctrl-C reaches every process of a terminal, and a scheduler may signal all processes of a job. This process alone
    # ends the workers, once, and they save their state; until then the queue must exist for the epochs they report.
    manager.start(end_with_parent, ([signal.SIGINT, signal.SIGTERM],))
    with manager, ProcessPoolExecutor(workers, context, end_with_parent, ([signal.SIGINT],)) as pool:
        epochs: Queue[tuple[int, Epoch]] = manager.Queue()
        # The longest runs start first, so that no core is left with a long run at the end.
        order = sorted(range(len(planned)), key=lambda i: planned[i].config.train.method == UNIFORM.name)
        futures = {pool.submit(_train_one, i, planned[i], prepared, epochs): i for i in order}
        try:
            for done in _as_completed(set(futures), lambda: _drain(epochs, planned, callback)):
                callback.on_run_end(planned[futures[done]], done.result(), reused=False)
        except BaseException:
            # Leaving the pool waits for the workers, which end after their present step.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
    return [run for _, run in sorted((i, future.result()) for future, i in futures.items())]


def _train_one(index: int, planned: PlannedRun, prepared: Prepared, epochs: Queue[tuple[int, Epoch]]) -> Run:
    return train(planned.config, prepared, lambda epoch: epochs.put((index, epoch)))


def _as_completed(futures: set[Future[Run]], poll: Callable[[], None]) -> Iterator[Future[Run]]:
    """Futures as they complete; ``poll`` is called twice a second and before each one is given."""
    while futures:
        done, futures = wait(futures, timeout=0.5, return_when="FIRST_COMPLETED")
        poll()
        yield from done


def _drain(epochs: Queue[tuple[int, Epoch]], planned: list[PlannedRun], callback: Callback) -> None:
    while True:
        try:
            index, epoch = epochs.get_nowait()
        except Empty:
            return
        callback.on_epoch(planned[index], epoch)
