"""The work of `gradops search`: it trains baselines and points, and registers the best points."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from filelock import FileLock

from features.errors import InputError
from pipeline.comparison.compare import train_networks, with_boosting
from pipeline.comparison.comparison import Comparison, plan_networks
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile
from pipeline.comparison.result_path import result_path
from pipeline.config.run import CompareConfig, RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.card import write_cards
from pipeline.registry.register import Registered, register
from pipeline.runs.plan import UNIFORM, Callback
from pipeline.runs.run import find_run
from pipeline.runtime.processes import LostWorkerError
from pipeline.search.budget import Budget, BudgetCheck, BudgetOverError, too_short
from pipeline.search.chosen import closing_sentences
from pipeline.search.journal import folder_of
from pipeline.search.points import Baselines, study_file, with_pareto_front
from pipeline.search.rivals import Rivals
from pipeline.search.searched import Searched
from pipeline.search.storage import reachable
from pipeline.search.study import Study
from pipeline.search.worker import Worker
from pipeline.search.workers import MOST_LOSSES, WorkerPool
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import concurrency

PointsCallback = Callable[[Sequence[Point]], None]


@dataclass(frozen=True)
class Progress:
    """What a search is doing.

    Args:
        points: The finished points, with the Pareto-optimal ones marked.
        running: The choice of each running trial, by its number, for people.
        waiting: The prescribed choices that no worker has begun.
        left: Seconds left of the budget; infinite without one.
    """

    points: Sequence[Point]
    running: Mapping[int, Mapping[str, float | str]]
    waiting: Sequence[Mapping[str, float | str]]
    left: float


ProgressCallback = Callable[[Progress], None]


class Search:
    """A search, which any number of commands and processes may join.

    Args:
        config: With the section ``[search]``.
        prepared: The data.
        study: Its study.
        begun: When the command began, by :func:`time.monotonic`; by default now. A budget counts from there.
    """

    def __init__(self, config: RunConfig, prepared: Prepared, study: Study, begun: float | None = None) -> None:
        self.config, self.prepared, self.study = config, prepared, study
        self.budget = Budget(study, config.search.seconds, time.monotonic() if begun is None else begun)
        self.path = result_path(folder_of(config), config.search.study or config.name, study.fingerprint)
        self._lock = FileLock(self.path.with_suffix(".lock"))  # shared by all commands on this folder of runs

    @property
    def compared(self) -> RunConfig:
        """The config of the baselines' comparison."""
        search = self.config.search
        is_boosted = bool(search.preset) and self.config.compare.boosting
        compare = CompareConfig(
            methods=(UNIFORM.name,), seeds=search.seeds, workers=search.workers, boosting=is_boosted
        )
        return self.config.model_copy(update={"compare": compare})

    def run(
        self,
        callbacks: Sequence[Callback],
        on_points: PointsCallback,
        on_progress: ProgressCallback = lambda _: None,
    ) -> tuple[Searched, Registered]:
        """Finish the study, or use up its budget, save and record it, and register its best points.

        Args:
            callbacks: Called in the baselines' runs.
            on_points: Called with all finished points, in order of their trials, whenever another is finished.
            on_progress: Called every second while worker processes train.

        Returns:
            The search, and its models in the registry.

        Raises:
            InputError: As :func:`pipeline.training.training.train`, or if a run to register is on another machine, or
                the budget was over before the baselines were trained.
        """
        with self._lock:
            tracker = Tracker.open(self.config, self.prepared, RunGroup.study(self.study.fingerprint))
        with tracker, self._ends_in_order(tracker), self._timed():
            with self._lock:
                tracker.close_lost(self.study.running)
                self.study.end(ended=False)
                comparison = self._compared(tracker, callbacks)
                self.study.give_back_lost()  # no worker does it if the budget is over already
                self.study.fill()
            baselines = Baselines.of(comparison)
            longest = self.budget.longest_run(_seconds(comparison))
            job = WorkerPool(self.config, self.prepared, baselines, self._size, longest)
            self._work(job, baselines, tracker, lambda: on_points(self._save(baselines, tracker)), on_progress)
            with self._lock:
                self.budget.note(at_once=True)
                searched = Searched(self.config, self.prepared, comparison, self._save(baselines, tracker), self.path)
                file = self._file(baselines, searched.points, searched.compared)
                if searched.fronts:
                    file = file.model_copy(update={"fronts": searched.fronts})
                if self.config.search.preset:
                    file = file.model_copy(update=_closing(searched))
                file.save(self.path)
                tracker.close_lost(self.study.running)
                registered = register(searched, tracker, only_best=True)
                sentences = [*file.verdicts, *registered.verdicts]
                done = file.model_copy(update={"verdicts": sentences, "serving": registered.costs})
                done.save(self.path)
                write_cards(registered.model, registered.versions, done)
                tracker.judged(sentences)
                tracker.studied(self.path, [i for point in searched.pareto_front for i in point.mlflow_run_ids])
                self.study.end(ended=True)
        return replace(searched, sentences=file.verdicts, waiting=self.study.next_choices()), registered

    def _compared(self, tracker: Tracker, callbacks: Sequence[Callback]) -> Comparison:
        """The baselines' comparison; tried again if a worker is killed."""
        every = [*callbacks, tracker, BudgetCheck(self.budget)]
        try:
            for _ in range(MOST_LOSSES):
                with suppress(LostWorkerError):
                    return with_boosting(train_networks(self.compared, self.prepared, every), every)
                tracker.give_up("killed")
            return with_boosting(train_networks(self.compared, self.prepared, every), every)
        except BudgetOverError:
            tracker.give_up("interrupted")
            planned = plan_networks(self.compared)
            finished = sum(find_run(p.config, self.prepared) is not None for p in planned)
            raise too_short(self.config.search.budget, finished, len(planned)) from None

    @property
    def _size(self) -> int:
        """Number of workers at the same time."""
        return concurrency(self.config.search.workers, self.study.places - len(self.study.points()))

    def _work(
        self,
        pool: WorkerPool,
        baselines: Baselines,
        tracker: Tracker,
        on_points: Callable[[], None],
        on_progress: ProgressCallback,
    ) -> None:
        """Finish every point, in this process or in several, which a budget can end in order."""
        if pool.size == 1 and self.budget.seconds is None:
            Worker(self.config, self.prepared, self.study, baselines, tracker, on_points).work()
        elif pool.size and not self.budget.is_over:
            known = len(self.study.points())

            def look() -> int:
                nonlocal known
                before, known = known, len(self.study.points())
                if known > before:
                    on_points()
                self.budget.note()
                on_progress(self._progress(baselines))
                return known

            pool.work(look, lambda: tracker.close_lost(self.study.running), lambda: self.budget.is_over)
        on_points()

    def _progress(self, baselines: Baselines) -> Progress:
        points = with_pareto_front(self.study.points(), baselines, self.config.search.not_below_single_task)
        return Progress(points, self.study.chosen_now(), self.study.next_choices(), self.budget.left)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Note the time of this command if it ends early; what follows the training is no part of the budget."""
        try:
            yield
        except BaseException:
            with suppress(InputError), reachable():
                self.budget.note(at_once=True)
            raise

    def _save(self, baselines: Baselines, tracker: Tracker) -> list[Point]:
        """Write the finished points to the study's file; the lock keeps an older state from replacing a newer one."""
        with self._lock:
            # A point that was finished while the tracking server was away lacks the ids of its MLflow runs.
            points = [
                p if p.mlflow_run_ids else replace(p, mlflow_run_ids=tracker.run_ids(p.runs))
                for p in self.study.points()
            ]
            points = with_pareto_front(points, baselines, self.config.search.not_below_single_task)
            self._file(baselines, points).save(self.path)
        return points

    def _file(self, baselines: Baselines, points: Sequence[Point], found: Comparison | None = None) -> StudyFile:
        key = self.study.fingerprint
        return study_file(self.config, self.prepared, baselines, points, fingerprint=key, found=found)

    @contextmanager
    def _ends_in_order(self, tracker: Tracker) -> Iterator[None]:
        """End the study in MLflow if this command is interrupted while no other works on the study."""
        try:
            with reachable():
                yield
        except BaseException:
            with suppress(InputError), reachable():
                if not self.study.running():
                    tracker.end_study("KILLED")
            raise


def _closing(searched: Searched) -> dict[str, Any]:
    """What the file of a preset's study has at the end."""
    rivals = Rivals(searched)
    sentences = closing_sentences(searched, rivals)
    return {"verdicts": sentences, "chosen": searched.models, "against_rivals": rivals.intervals}


def _seconds(comparison: Comparison) -> float:
    """Seconds that the longest run of a comparison trained."""
    return max(sum(epoch.seconds for epoch in run.history) for runs in comparison.systems.values() for run in runs)
