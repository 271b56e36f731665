"""What a family's trials reach: the front that validation chooses, its hypervolume on test, and half as many trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks.trial.datasets import Dataset
from benchmarks.trial.records import Record
from pipeline.evaluation.pareto import hypervolume, pareto_mask

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
REFERENCE, DRAWS = 0.5, 200


@dataclass(frozen=True)
class Trials(ABC):
    """The trials of a family, by number; a failed one is at chance.

    Args:
        val_NT: Validation AUC of each task.
        test_NT: The same of test.
        objectives: Places of the tasks whose AUCs are averaged into each objective.
    """

    val_NT: Floats
    test_NT: Floats
    objectives: Sequence[Sequence[int]]

    @property
    def number(self) -> int:
        """Their number."""
        return len(self.val_NT)

    @abstractmethod
    def hypervolume(self, chosen: Integers) -> float:
        """The hypervolume of the test AUCs, above :data:`REFERENCE`, of what validation chooses among these trials."""

    @abstractmethod
    def best(self, chosen: Integers) -> float:
        """The mean test AUC of what has the best mean validation AUC among these trials."""

    @property
    def volume(self) -> float:
        """The hypervolume of all of them."""
        return self.hypervolume(np.arange(self.number))

    def volumes_of_half(self) -> Floats:
        """The hypervolumes of half of the trials, drawn without replacement; equal numbers have equal draws."""
        return np.array([self.hypervolume(chosen) for chosen in _halves(self.number)])

    def bests_of_half(self) -> Floats:
        """The best of the same halves."""
        return np.array([self.best(chosen) for chosen in _halves(self.number)])


class Together(Trials):
    """Trials that are a network for all tasks each."""

    @property
    def test_NK(self) -> Floats:
        """Test AUCs of the objectives."""
        return _objectives(self.test_NT, self.objectives)

    def front(self, chosen: Integers) -> Integers:
        """Those of the chosen trials whose validation is Pareto-optimal."""
        val_NK = _objectives(self.val_NT, self.objectives)[chosen]
        optimal: Integers = chosen[pareto_mask(val_NK.tolist())]
        return optimal

    def hypervolume(self, chosen: Integers) -> float:
        """That of their front."""
        return hypervolume(self.test_NK[self.front(chosen)].tolist(), [REFERENCE] * len(self.objectives))

    def best(self, chosen: Integers) -> float:
        """That of one trial."""
        return float(self.test_NT[chosen[self.val_NT[chosen].mean(axis=1).argmax()]].mean())


class Separate(Trials):
    """Trials that are a network for each task. Any two tasks' networks can be put together, whatever their trials.

    So no point is as good by validation as that of each task's best network: it is the whole front.
    """

    def hypervolume(self, chosen: Integers) -> float:
        """That of the one point."""
        point_1K = _objectives(self._point(chosen), self.objectives)
        return hypervolume(point_1K.tolist(), [REFERENCE] * len(self.objectives))

    def best(self, chosen: Integers) -> float:
        """That of the one point."""
        return float(self._point(chosen).mean())

    def _point(self, chosen: Integers) -> Floats:
        best_T = chosen[self.val_NT[chosen].argmax(axis=0)]
        point_1T: Floats = self.test_NT[best_T, np.arange(len(best_T))][None]
        return point_1T


def trials(dataset: Dataset, records: Sequence[Record]) -> Together | Separate:
    """The trials of finished runs: all trials, and all tasks of each if it has a run a task."""
    ordered = sorted(records, key=lambda record: (record.trial, record.task or 0))
    is_separate = ordered[0].task is not None
    chance = [REFERENCE] * (1 if is_separate else dataset.tasks)
    val_NT, test_NT = (
        np.array([aucs or chance for aucs in split]).reshape(-1, dataset.tasks)
        for split in ([record.val for record in ordered], [record.test for record in ordered])
    )
    return (Separate if is_separate else Together)(val_NT, test_NT, dataset.objectives)


@cache
def _halves(number: int) -> Integers:
    generator = np.random.default_rng(0)
    drawn: Integers = np.sort([generator.permutation(number)[: number // 2] for _ in range(DRAWS)], axis=1)
    return drawn


def _objectives(auc_NT: Floats, objectives: Sequence[Sequence[int]]) -> Floats:
    result: Floats = np.stack([auc_NT[:, list(places)].mean(axis=1) for places in objectives], axis=1)
    return result
