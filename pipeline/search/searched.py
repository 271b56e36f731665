"""A finished search: its points, the few that are chosen, and their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from features.errors import InputError
from pipeline.comparison.candidates import Candidate, best_run
from pipeline.comparison.comparison import Comparison
from pipeline.comparison.point import Point
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.search.further import FURTHER_CANDIDATES, FinishedRuns
from pipeline.search.points import Baselines, chosen_few


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
        baselines = Baselines.of(self.comparison)
        front = [
            Candidate(p.name, best_run(self._runs(p), self.config), p.val, baselines.delta_m_pct(p))
            for p in self.pareto_front
        ]
        if not self.config.search.preset:
            return front
        return [*front, *(one for further in FURTHER_CANDIDATES for one in further(self.finished))]

    @property
    def finished(self) -> FinishedRuns:
        """All finished runs, for candidates that are made of several."""
        complete = [point for point in self.points if point.state == "complete"]
        trials = {p.label: runs for p in complete if (runs := self._runs_here(p))}
        return FinishedRuns(self.config, self.prepared, self.comparison.systems, trials)

    @cached_property
    def chosen(self) -> dict[str, Point]:
        """Alias to the Pareto-optimal point that it is to point at; empty without any."""
        return chosen_few(self.pareto_front, Baselines.of(self.comparison), self.config.tasks)

    @cached_property
    def compared(self) -> Comparison:
        """The baselines and the Pareto-optimal points as a comparison.

        Raises:
            InputError: If a run is on another machine.
        """
        points = {point.label: self._runs(point) for point in self.pareto_front}
        return replace(self.comparison, systems=self.comparison.systems | points)

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
