"""A worker of a search: it takes trials of the study and trains them until every point is finished."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import mean

from optuna.trial import Trial

from features.errors import InputError
from pipeline.comparison.point import Point, State
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.pareto import contribution
from pipeline.runs.plan import Callback, PlannedRun, System
from pipeline.runs.run import find_run
from pipeline.search.points import Baselines
from pipeline.search.pruning import BehindError, Halving, MedianRule, course_of
from pipeline.search.study import Study
from pipeline.tracking.tracker import Tracker
from pipeline.training.runner import find_or_train
from pipeline.training.trainer import DivergedError
from pipeline.training.training import remove_checkpoints

_CHANCE = 0.5  # the AUC from which the hypervolume is measured
_PAUSE = 0.5  # seconds between two looks at trials of other workers


@dataclass(frozen=True)
class Worker:
    """A worker on a study.

    Args:
        config: The search's config.
        prepared: The data.
        study: The study.
        baselines: The baselines that its points are compared with.
        tracker: Records the runs.
        on_point: Called after each point.
        longest: Seconds that a run of a preset may take.
    """

    config: RunConfig
    prepared: Prepared
    study: Study
    baselines: Baselines
    tracker: Tracker
    on_point: Callable[[], None]
    longest: float = math.inf

    def work(self) -> None:
        """Take trials until every point is finished, by this worker or another.

        Raises:
            InputError: As :func:`pipeline.training.training.train`, except for diverging runs: their points fail.
        """
        while True:
            with self.study.take() as trial:
                if trial is not None:
                    self._run(trial)
            if trial is not None:
                self.on_point()
            elif self.study.is_over():
                return
            else:
                time.sleep(_PAUSE)

    def _run(self, trial: Trial) -> None:
        choice, place = self.study.space.choose(trial), self.study.place_of(trial)
        point = Point(place, choice.method, dict(choice.params))
        seeds = range(self.config.train.seed, self.config.train.seed + self.config.search.seeds)
        try:
            configs = [choice.config(self.config, seed) for seed in seeds]
        except InputError as error:
            if not self.config.search.preset:
                raise
            # Keys of the config that the preset knows nothing of may contradict a choice of it.
            point = replace(point, state="failed", reason=str(error))
        else:
            name = System(f"trial {place} {point.name}")
            point = self._trained(point, [PlannedRun(name, config, trial.number) for config in configs])
        values = self.objectives(point) if point.state == "complete" else []
        shortfalls = self.baselines.shortfalls(point, self.config.search.not_below_single_task) if values else {}
        self.study.finish(trial, point, values, shortfalls)

    def _trained(self, point: Point, planned: list[PlannedRun]) -> Point:
        rule = self._rule()
        callbacks: list[Callback] = [self.tracker, *([rule] if rule else [])]
        if self.config.search.preset:
            point = replace(point, course=course_of(planned[0].config.train))
        try:
            runs = find_or_train(planned, self.prepared, callbacks, workers=1)
        except (BehindError, DivergedError) as error:
            for p in planned:
                remove_checkpoints(p.config, self.prepared)
            state: State = "pruned" if isinstance(error, BehindError) else "failed"
            fingerprints = [run.fingerprint for p in planned if (run := find_run(p.config, self.prepared))]
            recorded = [*self.tracker.run_ids(fingerprints), *self.tracker.give_up(state)]
            return replace(
                point,
                state=state,
                reason=str(error),
                runs=fingerprints,
                mlflow_run_ids=recorded,
                curves=rule.curves if isinstance(rule, Halving) else [],
            )
        run_ids = self.tracker.run_ids([run.fingerprint for run in runs])
        return point.with_runs(runs, run_ids, self.config.train.selection)

    def _rule(self) -> MedianRule | Halving | None:
        """The rule that gives runs up."""
        first = self.config.train.seed
        if not self.config.search.prune:
            return None
        points = self.study.points()
        return Halving(points, first, self.longest) if self.config.search.preset else MedianRule(points, first)

    def objectives(self, point: Point) -> list[float]:
        """The values of the search's objectives for a complete point."""
        match self.config.search.objective:
            case "auc":
                return list(point.val.values())
            case "mean_auc":
                return [mean(point.val.values())]
            case "selected":
                assert point.selected is not None, "a point of a study with this objective has it"
                return [point.selected]
            case "delta_m_pct":
                return [self.baselines.delta_m_pct(point)]
            case _:
                others = [[*p.val.values()] for p in self.study.points() if p.state == "complete"]
                return [contribution([*point.val.values()], others, [_CHANCE] * len(point.val))]
