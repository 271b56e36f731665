"""The pool of a command's worker processes on a study; a killed worker is replaced."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runtime.processes import LostWorkerError, Workers
from pipeline.runtime.signals import interruptible
from pipeline.search.points import Baselines
from pipeline.search.storage import reachable
from pipeline.search.study import Study
from pipeline.search.worker import Worker
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker

MOST_LOSSES = 10  # workers killed in a row without a point finished in between; more are no accident
_LOOK = 1.0  # seconds between two calls of `on_look`


class WorkerPool:
    """Workers of a search, each in its own process.

    Args:
        config: The search's config.
        prepared: The data.
        baselines: The baselines that the points are compared with.
        size: Number of workers.
        longest: As for :class:`pipeline.search.worker.Worker`.
    """

    def __init__(self, config: RunConfig, prepared: Prepared, baselines: Baselines, size: int, longest: float) -> None:
        self._job = config, prepared, baselines, longest
        self.size = size

    def work(self, on_look: Callable[[], int], on_loss: Callable[[], None], is_over: Callable[[], bool]) -> None:
        """Wait until every worker has found that no trial is left, or the budget is over.

        Workers save what they train when they are ended, and give their trials back.

        Args:
            on_look: Called every second; returns the number of finished points.
            on_loss: Called after a worker was killed.
            is_over: Whether the workers are to be ended.

        Raises:
            InputError: If a worker ended with an InputError, or workers are killed again and again.
        """
        losses, points = 0, 0
        with Workers(_work) as workers:
            for _ in range(self.size):
                workers.start(*self._job)
            while len(workers) and not is_over():
                lost = _looked(workers)
                before, points = points, on_look()
                losses = (0 if points > before else losses) + (lost is not None)
                if lost and losses > MOST_LOSSES:
                    raise InputError(f"{losses} workers were lost and no point finished; the last one: {lost}")
                if lost:
                    on_loss()
                    workers.start(*self._job)


def _looked(workers: Workers) -> LostWorkerError | None:
    """Wait for the end of a worker, at most until the next look; the error of one that was killed."""
    try:
        for _ in workers.messages(_LOOK):
            pass
    except LostWorkerError as error:
        return error
    return None


def _work(connection: Connection, config: RunConfig, prepared: Prepared, baselines: Baselines, longest: float) -> None:
    """The main function of a worker process."""
    del connection  # points are handed on through the study
    with interruptible(second_ends=False, signals=[signal.SIGTERM]):
        study = Study(config, prepared)
        with reachable(), Tracker.open(config, prepared, RunGroup.study(study.fingerprint)) as tracker:
            Worker(config, prepared, study, baselines, tracker, lambda: None, longest).work()
