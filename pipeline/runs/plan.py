"""Planned runs, the systems of a comparison that they belong to, and the callbacks of their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.config.run import RunConfig
from pipeline.runs.run import Epoch, Run

Split = Literal["val", "test"]


@dataclass(frozen=True)
class System:
    """A row of a comparison's table: a method, or a baseline.

    Args:
        name: The name in tables and files; a method's name is its text with options.
        kind: ``"method"`` trains one network for all tasks, ``"single-task"`` one network a task, and ``"boosting"``
            one model of boosted trees a task; ``"made"`` makes a model of other systems' runs.
        is_ranked: Whether it has a Mean Rank.
        is_registrable: Whether it can become a version of the registered model.
    """

    name: str
    kind: Literal["method", "single-task", "boosting", "made"] = "method"
    is_ranked: bool = True
    is_registrable: bool = True

    @classmethod
    def named(cls, name: str) -> System:
        """The baseline or the made system of this name if there is one, else the method."""
        return next((system for system in (*BASELINES, BUNDLE, ENSEMBLE) if system.name == name), cls(name))

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self in BASELINES

    def __str__(self) -> str:
        return self.name


SINGLE_TASK = System("single-task", "single-task", is_registrable=False)
UNIFORM = System("uniform")
BOOSTING = System("boosting", "boosting", is_ranked=False, is_registrable=False)
BASELINES = (SINGLE_TASK, UNIFORM, BOOSTING)
# The single-task networks as one model, and an ensemble of networks and trees.
BUNDLE = System("bundle", "made", is_ranked=False)
ENSEMBLE = System("ensemble", "made", is_ranked=False)
# What `compare.candidates` may name, each as the system of its runs for all tasks.
CANDIDATES = {system.name: system for system in (BUNDLE, System(BOOSTING.name, "made"), ENSEMBLE)}
# The baselines that all other systems have intervals against; a table's marks are against the first of them it has.
REFERENCES = (UNIFORM, SINGLE_TASK)


@dataclass(frozen=True)
class PlannedRun:
    """A run to find or to train.

    Args:
        system: The system it belongs to.
        config: The config that it trains.
        trial: Number of the search's trial that it belongs to; None outside of a search.
    """

    system: System
    config: RunConfig
    trial: int | None = None

    @property
    def label(self) -> str:
        """The run's name for people: system, task where each task has a model of its own, and seed."""
        task = f" {self.config.tasks[0]}" if self.system.kind in ("single-task", "boosting") else ""
        return f"{self.system}{task} seed {self.config.train.seed}"


class Callback(Protocol):
    """Methods that training calls for each run, all in one process and one thread."""

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        """Called at the end of each epoch."""

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        """Called once a run is finished; ``reused`` where an earlier command had finished it."""
