"""The pool of a command's worker processes on a study; a killed worker is replaced."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runtime.signals import end_with_parent
from pipeline.search.points import Baselines
from pipeline.search.storage import reachable
from pipeline.search.study import Study
from pipeline.search.worker import Worker
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker

MOST_LOSSES = 10  # workers killed in a row without a point finished in between; more are no accident
_INTERRUPTED = 130
_LOOK = 1.0  # seconds between two calls of `on_look`


class WorkerPool:
    """Workers of a search, each in its own process.

    Args:
        config: The search's config.
        prepared: The data.
        baselines: The baselines that the points are compared with.
        size: Number of workers.
    """

    def __init__(self, config: RunConfig, prepared: Prepared, baselines: Baselines, size: int) -> None:
        self._job = config, prepared, baselines
        self._context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._workers: dict[BaseProcess, Connection] = {}
        for _ in range(size):
            self._start()

    def work(self, on_look: Callable[[], int], on_loss: Callable[[], None]) -> None:
        """Wait until every worker has found that no trial is left.

        Args:
            on_look: Called every second; returns the number of finished points.
            on_loss: Called after a worker was killed.

        Raises:
            InputError: If a worker ended with an InputError, or workers are killed again and again.
        """
        losses, points = 0, 0
        try:
            while self._workers:
                wait([worker.sentinel for worker in self._workers], timeout=_LOOK)
                before, points = points, on_look()
                losses = 0 if points > before else losses
                lost = [signal_ for worker in list(self._workers) if (signal_ := self._ended(worker))]
                losses += len(lost)
                if losses > MOST_LOSSES:
                    fix = "often memory is short: try fewer `search.workers`, smaller batches or smaller tables"
                    raise InputError(f"{losses} workers were killed by signal {lost[-1]} and no point finished; {fix}")
                for _ in lost:
                    on_loss()
                    self._start()
        finally:
            self._end()

    def _start(self) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        worker = self._context.Process(target=_work, args=(*self._job, sender))
        worker.start()
        sender.close()
        self._workers[worker] = receiver

    def _ended(self, worker: BaseProcess) -> int:
        """Remove a worker that has ended, and return the signal that killed it, else 0."""
        if worker.exitcode is None:
            return 0
        receiver = self._workers.pop(worker)
        if worker.exitcode < 0 or worker.exitcode == _INTERRUPTED:
            return -worker.exitcode if worker.exitcode < 0 else int(signal.SIGTERM)
        if worker.exitcode:
            raise _error_of(receiver)
        return 0

    def _end(self) -> None:
        """End the workers that still run; each finishes and saves its step first."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()


def _error_of(receiver: Connection) -> Exception:
    """The error that ended a worker: an InputError, or a bug whose traceback the worker has printed."""
    try:
        return InputError(receiver.recv())
    except EOFError:
        return RuntimeError("a worker of the search failed; its traceback is above")


def _work(config: RunConfig, prepared: Prepared, baselines: Baselines, sender: Connection) -> None:
    """The main function of a worker process."""
    end_with_parent([signal.SIGINT])  # the parent hears Ctrl-C, and ends its workers once
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        study = Study(config, prepared)
        with reachable(), Tracker.open(config, prepared, RunGroup.study(study.fingerprint)) as tracker:
            Worker(config, prepared, study, baselines, tracker, on_point=lambda: None).work()
    except InputError as error:
        sender.send(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
