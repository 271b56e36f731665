"""The fronts of a family's trials: chosen by validation, measured by test, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks.trial.datasets import Dataset
from benchmarks.trial.records import Record
from pipeline.evaluation.pareto import hypervolume

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
REFERENCE, DRAWS = 0.5, 1000


@dataclass(frozen=True)
class Trials:
    """The trials of a family, by number; a failed one is at chance.

    Args:
        val_NK: Mean validation AUC of each objective's tasks.
        test_NK: The same of test.
    """

    val_NK: Floats
    test_NK: Floats

    @classmethod
    def of(cls, dataset: Dataset, records: Sequence[Record]) -> Trials:
        """Those of finished runs; networks of one task each are put together, trial by trial."""
        by_trial: dict[int, list[Record]] = {}
        for record in sorted(records, key=lambda r: (r.trial, r.task or 0)):
            by_trial.setdefault(record.trial, []).append(record)
        splits = [[_joined(parts, split) for parts in by_trial.values()] for split in ("val", "test")]
        val_NK, test_NK = (np.array([_objectives(dataset, aucs) for aucs in split]) for split in splits)
        return cls(val_NK, test_NK)

    def front(self, chosen: Integers | None = None) -> Integers:
        """Numbers of the trials, among the chosen ones, whose validation is Pareto-optimal."""
        chosen = np.arange(len(self.val_NK)) if chosen is None else np.unique(chosen)
        val_NK = self.val_NK[chosen]
        at_least_NN = (val_NK[:, None] >= val_NK[None]).all(axis=2)
        above_NN = at_least_NN & (val_NK[:, None] > val_NK[None]).any(axis=2)
        optimal: Integers = chosen[~above_NN.any(axis=0)]
        return optimal

    def hypervolume(self, chosen: Integers | None = None) -> float:
        """The hypervolume of the front's test AUCs above :data:`REFERENCE`."""
        return hypervolume(self.test_NK[self.front(chosen)].tolist(), [REFERENCE] * self.val_NK.shape[1])

    def bootstrap(self) -> Floats:
        """The hypervolumes of draws of the trials, which are the same for every family of as many trials."""
        return np.array([self.hypervolume(chosen) for chosen in _resampled(len(self.val_NK))])


@cache
def _resampled(trials: int) -> Integers:
    drawn: Integers = np.random.default_rng(0).integers(trials, size=(DRAWS, trials))
    return drawn


def _joined(parts: Sequence[Record], split: str) -> list[float]:
    return [value for part in parts for value in (getattr(part, split) or [])]


def _objectives(dataset: Dataset, aucs: Sequence[float]) -> list[float]:
    if len(aucs) < sum(map(len, dataset.objectives)):
        return [REFERENCE] * len(dataset.objectives)
    return [float(np.mean([aucs[place] for place in places])) for places in dataset.objectives]
