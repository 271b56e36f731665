"""A finished search: its points, the few that are chosen, and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from features.errors import InputError
from pipeline.comparison.candidates import Candidate, best_run, by_alias, pareto_optimal
from pipeline.comparison.chosen_model import ChosenModel
from pipeline.comparison.comparison import Comparison
from pipeline.comparison.fronts import Fronts, compare_fronts
from pipeline.comparison.made_of import validation_rows
from pipeline.comparison.point import Point
from pipeline.comparison.safer import CrossFitted, cross_fitted
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import ENSEMBLE
from pipeline.runs.run import Run
from pipeline.search.further import FURTHER_CANDIDATES, FinishedRuns
from pipeline.search.points import Baselines


@dataclass(frozen=True)
class Searched:
    """A finished search. A :class:`pipeline.comparison.candidates.TradeOffs`.

    Args:
        config: The search's config.
        prepared: The data.
        comparison: The comparison of the baselines: single-task models and uniform scaling.
        points: Every point, with the Pareto-optimal ones marked.
        path: The study's result file.
        sentences: Sentences on the choice and its figures, the most important one first.
        waiting: The prescribed choices that a larger budget would still try.
    """

    config: RunConfig
    prepared: Prepared
    comparison: Comparison
    points: list[Point]
    path: Path
    sentences: Sequence[str] = ()
    waiting: Sequence[Mapping[str, float | str]] = ()

    @property
    def pareto_front(self) -> list[Point]:
        """The Pareto-optimal points, by validation AUC."""
        return [point for point in self.points if point.pareto]

    def candidates(self) -> list[Candidate]:
        """See :class:`pipeline.comparison.candidates.TradeOffs`.

        Raises:
            InputError: If a run is on another machine.
        """
        return self._candidates

    @cached_property
    def _made(self) -> list[Candidate]:
        baselines = Baselines.of(self.comparison)
        front = [
            Candidate(p.name, best_run(self._runs(p), self.config), p.val, baselines.delta_m_pct(p))
            for p in self.pareto_front
        ]
        if not self.config.search.preset:
            return front
        return [*front, *(one for further in FURTHER_CANDIDATES for one in further(self.finished))]

    @cached_property
    def cross_fitted(self) -> CrossFitted | None:
        """The best single candidate beside the ensemble; None without one."""
        return cross_fitted(self._made, validation_rows(self.prepared), self.config.tasks)

    @cached_property
    def _candidates(self) -> list[Candidate]:
        beside = self.cross_fitted
        is_safer = beside is not None and beside.is_ensemble_taken
        return [replace(one, is_safer=True) if is_safer and one.system == ENSEMBLE.name else one for one in self._made]

    @property
    def finished(self) -> FinishedRuns:
        """All finished runs, for candidates that are made of several."""
        complete = [point for point in self.points if point.state == "complete"]
        trials = {p.label: runs for p in complete if (runs := self._runs_here(p))}
        return FinishedRuns(self.config, self.prepared, self.comparison.systems, trials)

    @cached_property
    def best_network(self) -> Point | None:
        """The Pareto-optimal point with the lowest Δm%: the best network for all tasks. None without any."""
        return min(self.pareto_front, key=Baselines.of(self.comparison).delta_m_pct, default=None)

    @cached_property
    def models(self) -> list[ChosenModel]:
        """The models that the registry's aliases are to point at, ``balanced`` first, and the best network.

        Empty without a Pareto-optimal point.

        Raises:
            InputError: If a run is on another machine.
        """
        if self.best_network is None:
            return []
        chosen = by_alias(pareto_optimal(self), self.config.tasks)
        served = {one.run.fingerprint: one for one in chosen.values()}
        models = [
            self._model(one, [alias for alias, other in chosen.items() if other.run.fingerprint == fingerprint])
            for fingerprint, one in served.items()
        ]
        if self.best_network.trial not in [model.trial for model in models]:
            models.append(_of_point(self.best_network, []))
        return models

    def runs_of(self, model: ChosenModel) -> list[Run]:
        """The runs whose scores are a chosen model's: one a seed of a trial, or the single one of a made model."""
        if model.is_network:
            return [Run.load(self.config.runs / name) for name in model.runs]
        return [one.run for one in self.candidates() if one.system == model.name and one.run.members]

    def _model(self, candidate: Candidate, aliases: list[str]) -> ChosenModel:
        run = candidate.run
        if not run.members:
            return _of_point(next(p for p in self.pareto_front if run.fingerprint in p.runs), aliases)
        test = {task: run.test[task]["auc"] for task in self.config.tasks}
        return ChosenModel(candidate.system, aliases, None, run.members, candidate.auc, test)

    @cached_property
    def compared(self) -> Comparison:
        """The baselines and the Pareto-optimal points as a comparison.

        Raises:
            InputError: If a run is on another machine.
        """
        points = {point.label: self._runs(point) for point in self.pareto_front}
        return replace(self.comparison, systems=self.comparison.systems | points)

    @cached_property
    def fronts(self) -> Fronts | None:
        """The Pareto fronts of the families of methods, where several were searched."""
        return compare_fronts(self.points, self.config.tasks, self.comparison.rows, self._runs_here)

    def _runs_here(self, point: Point) -> list[Run]:
        """The runs of a point; none if one of them is on another machine."""
        folders = [self.config.runs / name for name in point.runs]
        return [Run.load(folder) for folder in folders] if all(folder.exists() for folder in folders) else []

    def _runs(self, point: Point) -> list[Run]:
        folders = [self.config.runs / name for name in point.runs]
        if missing := [str(folder) for folder in folders if not folder.exists()]:
            fix = "set `runs` to one folder that all machines share, or search again where it is"
            raise InputError(
                f"trial {point.trial} is Pareto-optimal, but its run {', '.join(missing)} is not here; {fix}"
            )
        return [Run.load(folder) for folder in folders]


def _of_point(point: Point, aliases: list[str]) -> ChosenModel:
    return ChosenModel(point.label, aliases, point.trial, point.runs, point.val, point.test)
