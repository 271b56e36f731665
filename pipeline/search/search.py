"""The work of `gradops search`: it trains baselines and points, and registers the best points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from features.errors import InputError
from pipeline.comparison.candidates import Candidate, best_run
from pipeline.comparison.compare import train_networks
from pipeline.comparison.comparison import Comparison
from pipeline.comparison.point import Point
from pipeline.comparison.result_file import StudyFile
from pipeline.comparison.result_path import result_path
from pipeline.config.run import CompareConfig, RunConfig
from pipeline.data.prepared import Prepared
from pipeline.registry.register import Registered, register
from pipeline.runs.plan import UNIFORM, Callback
from pipeline.runs.run import Run
from pipeline.runtime.processes import LostWorkerError
from pipeline.search.journal import folder_of
from pipeline.search.points import Baselines, study_file, with_pareto_front
from pipeline.search.storage import reachable
from pipeline.search.study import Study
from pipeline.search.worker import Worker
from pipeline.search.workers import MOST_LOSSES, WorkerPool
from pipeline.tracking.group import RunGroup
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import concurrency

PointsCallback = Callable[[Sequence[Point]], None]


@dataclass(frozen=True)
class Searched:
    """A finished search. A :class:`pipeline.comparison.candidates.TradeOffs`.

    Args:
        config: The search's config.
        prepared: The data.
        comparison: The comparison of the baselines: single-task models and uniform scaling.
        points: Every point, with the Pareto-optimal ones marked.
        path: The study's result file.
    """

    config: RunConfig
    prepared: Prepared
    comparison: Comparison
    points: list[Point]
    path: Path

    @property
    def pareto_front(self) -> list[Point]:
        """The Pareto-optimal points, by validation AUC."""
        return [point for point in self.points if point.pareto]

    def candidates(self) -> list[Candidate]:
        """See :class:`pipeline.comparison.candidates.TradeOffs`.

        Raises:
            InputError: If a run is on another machine.
        """
        baselines = Baselines.of(self.comparison)
        return [
            Candidate(p.name, best_run(self._runs(p), self.config), p.val, baselines.delta_m_pct(p))
            for p in self.pareto_front
        ]

    @cached_property
    def compared(self) -> Comparison:
        """The baselines and the Pareto-optimal points as a comparison.

        Raises:
            InputError: If a run is on another machine.
        """
        points = {point.label: self._runs(point) for point in self.pareto_front}
        return replace(self.comparison, systems=self.comparison.systems | points)

    def _runs(self, point: Point) -> list[Run]:
        folders = [self.config.runs / name for name in point.runs]
        if missing := [str(folder) for folder in folders if not folder.exists()]:
            fix = "set `runs` to one folder that all machines share, or search again where it is"
            raise InputError(
                f"trial {point.trial} is Pareto-optimal, but its run {', '.join(missing)} is not here; {fix}"
            )
        return [Run.load(folder) for folder in folders]


class Search:
    """A search, which any number of commands and processes may join.

    Args:
        config: With the section ``[search]``.
        prepared: The data.
        study: Its study.
    """

    def __init__(self, config: RunConfig, prepared: Prepared, study: Study) -> None:
        self.config, self.prepared, self.study = config, prepared, study
        self.path = result_path(folder_of(config), config.search.study or config.name, study.fingerprint)
        self._lock = FileLock(self.path.with_suffix(".lock"))  # shared by all commands on this folder of runs

    @property
    def compared(self) -> RunConfig:
        """The config of the baselines' comparison."""
        search = self.config.search
        compare = CompareConfig(methods=(UNIFORM.name,), seeds=search.seeds, workers=search.workers)
        return self.config.model_copy(update={"compare": compare})

    def run(self, callbacks: Sequence[Callback], on_points: PointsCallback) -> tuple[Searched, Registered]:
        """Finish the study, save and record it, and register its best points.

        Args:
            callbacks: Called in the baselines' runs.
            on_points: Called with all finished points, in order of their trials, whenever another is finished.

        Returns:
            The search, and its models in the registry.

        Raises:
            InputError: As :func:`pipeline.training.training.train`, or if a run to register is on another machine.
        """
        with self._lock:
            tracker = Tracker.open(self.config, self.prepared, RunGroup.study(self.study.fingerprint))
        with tracker, self._ends_in_order(tracker):
            with self._lock:
                tracker.close_lost(self.study.running)
                comparison = self._compared(tracker, callbacks)
                self.study.fill()
            baselines = Baselines.of(comparison)
            self._work(baselines, tracker, lambda: on_points(self._save(baselines, tracker)))
            with self._lock:
                searched = Searched(self.config, self.prepared, comparison, self._save(baselines, tracker), self.path)
                file = self._file(baselines, searched.points, searched.compared)
                file.save(self.path)
                tracker.close_lost(self.study.running)
                registered = register(searched, tracker, only_best=True)
                sentences = [*file.verdicts, *registered.verdicts]
                file.model_copy(update={"verdicts": sentences}).save(self.path)
                tracker.judged(sentences)
                tracker.studied(self.path, [i for point in searched.pareto_front for i in point.mlflow_run_ids])
        return searched, registered

    def _compared(self, tracker: Tracker, callbacks: Sequence[Callback]) -> Comparison:
        """The baselines' comparison; tried again if a worker is killed."""
        for _ in range(MOST_LOSSES):
            with suppress(LostWorkerError):
                return train_networks(self.compared, self.prepared, [*callbacks, tracker])
            tracker.give_up("killed")
        return train_networks(self.compared, self.prepared, [*callbacks, tracker])

    def _work(self, baselines: Baselines, tracker: Tracker, on_points: Callable[[], None]) -> None:
        """Finish every point, in this process or in several."""
        size = concurrency(self.config.search.workers, self.study.places - len(self.study.points()))
        if size == 1:
            Worker(self.config, self.prepared, self.study, baselines, tracker, on_points).work()
        elif size:
            known = len(self.study.points())

            def look() -> int:
                nonlocal known
                before, known = known, len(self.study.points())
                if known > before:
                    on_points()
                return known

            WorkerPool(self.config, self.prepared, baselines, size).work(
                look, lambda: tracker.close_lost(self.study.running)
            )
        on_points()

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
