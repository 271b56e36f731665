"""The pruning of runs that fall behind; Optuna has no pruner for studies with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from pipeline.comparison.point import Point
from pipeline.config.train import TrainConfig
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run

_LEAST_POINTS = 5  # a median of fewer points means little


class BehindError(Exception):
    """The signal that a run has fallen behind the median and is to be given up."""


class MedianRule:
    """Gives up a run whose ``train.select_by`` is worse than the median of the finished points after the same epoch.

    A run is compared with runs of the same seed, and only once five points are finished. The rule skips a run's last
    epoch and runs that are finished already: giving them up would save nothing. A :class:`pipeline.runs.plan.Callback`.

    Args:
        points: The finished points.
        first_seed: The seed of their first runs.
    """

    def __init__(self, points: Sequence[Point], first_seed: int) -> None:
        self._curves = [point.curves for point in points if point.state == "complete"]
        self._first_seed = first_seed

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Judge an epoch.

        Raises:
            BehindError: If the run is to be given up.
        """
        place = planned.config.train.seed - self._first_seed
        others = [curves[place][epoch.number] for curves in self._curves if len(curves[place]) > epoch.number]
        judge(planned, epoch, others)

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Do nothing: finished runs are kept."""


@dataclass
class Halving:
    """Gives up the worse half after 1, 2, 4, 8, ... epochs: asynchronous successive halving by a median.

    A run is compared with the runs of the same course of the rate that have come as far, given up or not, once there
    are five; a one-cycle schedule decides late, so it is compared only with those of as many epochs, and not in the
    first half. A run that takes longer than ``longest`` is given up as well: what it costs, others could use.

    A :class:`pipeline.runs.plan.Callback`, which also keeps the curve of the run.

    Args:
        points: The finished points.
        first_seed: The seed of their first runs.
        longest: Seconds that a run may take.
        curves: The metric after each epoch of this point's runs so far.
    """

    points: Sequence[Point]
    first_seed: int
    longest: float
    curves: list[list[float]] = field(default_factory=list)
    _seconds: float = 0.0

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Judge an epoch.

        Raises:
            BehindError: If the run is to be given up.
        """
        place, train = planned.config.train.seed - self.first_seed, planned.config.train
        while len(self.curves) <= place:
            self.curves.append([])
        self.curves[place].append(train.selection.value(epoch.val))
        self._seconds = epoch.seconds + (self._seconds if epoch.number else 0.0)
        done = epoch.number + 1
        if done < train.epochs:
            self._judge_time(train, done)
        if done & (done - 1) or (train.schedule == "one_cycle" and 2 * done <= train.epochs):
            return
        course = course_of(train)
        others = [
            point.curves[place][epoch.number]
            for point in self.points
            if point.course == course and len(point.curves) > place and len(point.curves[place]) > epoch.number
        ]
        judge(planned, epoch, others)

    def _judge_time(self, train: TrainConfig, done: int) -> None:
        """Give up a run that has taken too long, or will by its schedule."""
        epochs = train.epochs if train.schedule == "one_cycle" else done + 1
        needed = self._seconds / done * epochs
        if needed > self.longest:
            raise BehindError(f"{needed:.0f} s are more than the {self.longest:.0f} s that the budget has for a run")

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Do nothing: finished runs are kept."""


def course_of(train: TrainConfig) -> str:
    """The course of the rate in which runs can be compared after an epoch."""
    return train.schedule if train.schedule == "constant" else f"{train.schedule} of {train.epochs}"


def judge(planned: PlannedRun, epoch: Epoch, others: Sequence[float]) -> None:
    """Compare a run's epoch with the same epoch of others.

    Raises:
        BehindError: If it is worse than their median.
    """
    is_last = epoch.number + 1 >= planned.config.train.epochs
    selection = planned.config.train.selection
    value = selection.value(epoch.val)
    if not is_last and len(others) >= _LEAST_POINTS and selection.is_behind(value, median(others)):
        behind = f"validation {selection.title} {value:.4f} after epoch {epoch.number + 1}"
        raise BehindError(f"{behind} of seed {planned.config.train.seed}, median {median(others):.4f}")
