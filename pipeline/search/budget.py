"""The time that a search may still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from features.errors import InputError
from pipeline.runs.plan import PlannedRun
from pipeline.runs.run import Epoch, Run
from pipeline.search.study import Study

_NOTED_EVERY = 5.0  # seconds: the most that a killed command forgets
_RUN_SHARE = 0.1  # of the budget: the most that one run may take
_BASELINE_SHARE = 2.0  # times the longest baseline: a run may take as long, whatever the budget


class BudgetOverError(Exception):
    """The signal that the budget is used up."""


@dataclass
class Budget:
    """The time of a study that its commands share; the time of earlier ones is used up.

    Args:
        study: The study, which keeps the time.
        seconds: The whole budget; None for no limit.
        begun: When this command began, by the clock.
        clock: The present time in seconds.
    """

    study: Study
    seconds: float | None
    begun: float
    clock: Callable[[], float] = time.monotonic
    _command: str = field(default_factory=lambda: uuid4().hex[:8])
    _noted: float = 0.0

    def __post_init__(self) -> None:
        self._before = self.study.spent

    @property
    def spent(self) -> float:
        """Seconds used up, those of earlier commands included."""
        return self._before + self.clock() - self.begun

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        return float("inf") if self.seconds is None else max(self.seconds - self.spent, 0.0)

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0

    def note(self, *, at_once: bool = False) -> None:
        """Note the time of this command in the study, at most every few seconds unless ``at_once``."""
        if self.seconds is not None and (at_once or self.clock() - self._noted >= _NOTED_EVERY):
            self._noted = self.clock()
            self.study.spend(self._command, self.clock() - self.begun)

    def longest_run(self, baseline: float) -> float:
        """Seconds that one run may take; more would leave too few runs to choose among.

        Args:
            baseline: Seconds of the longest baseline.
        """
        return float("inf") if self.seconds is None else max(_RUN_SHARE * self.seconds, _BASELINE_SHARE * baseline)


@dataclass(frozen=True)
class BudgetCheck:
    """Ends the training of baselines when the budget is over. A :class:`pipeline.runs.plan.Callback`.

    Args:
        budget: The budget.
    """

    budget: Budget

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Look at the budget.

        Raises:
            BudgetOverError: If it is over.
        """
        del planned, epoch
        self.budget.note()
        if self.budget.is_over:
            raise BudgetOverError

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Do nothing: a finished run is kept."""


def too_short(budget: str, finished: int, planned: int) -> InputError:
    """The error that a budget was over before the baselines were trained."""
    fix = "their epochs so far are saved: the same command with a larger `--budget` goes on"
    return InputError(f"the budget of {budget} was over with {finished} of {planned} baselines trained; {fix}")
