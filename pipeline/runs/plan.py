"""A run that is wanted, and who is told what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.config.run import RunConfig
from pipeline.runs.run import Epoch, Run

SINGLE_TASK, UNIFORM, BOOSTING = "single-task", "uniform", "boosting"
Split = Literal["val", "test"]


@dataclass(frozen=True)
class Planned:
    """One run of a comparison.

    Args:
        system: The row of the table it belongs to.
        config: What it trains.
        trial: The trial of a search that it is for.
    """

    system: str
    config: RunConfig
    trial: int | None = None

    @property
    def label(self) -> str:
        """The run as a person would name it."""
        task = f" {self.config.tasks[0]}" if self.system in (SINGLE_TASK, BOOSTING) else ""
        return f"{self.system}{task} seed {self.config.train.seed}"


class Observer(Protocol):
    """Told what happens to each run, in one process and one thread."""

    def epoch(self, planned: Planned, epoch: Epoch) -> None:
        """An epoch ended."""

    def finished(self, planned: Planned, run: Run, reused: bool) -> None:
        """A run ended, or was found done."""
