"""The pruning of runs that fall behind; Optuna has no pruner for studies with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from pipeline.comparison.point import Point
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
        is_last = epoch.number + 1 >= planned.config.train.epochs
        selection = planned.config.train.selection
        value = selection.value(epoch.val)
        if not is_last and len(others) >= _LEAST_POINTS and selection.is_behind(value, median(others)):
            behind = f"validation {selection.title} {value:.4f} after epoch {epoch.number + 1}"
            raise BehindError(f"{behind} of seed {planned.config.train.seed}, median {median(others):.4f}")

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Do nothing: finished runs are kept."""
