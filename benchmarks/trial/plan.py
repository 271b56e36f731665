"""The planned runs in the order in which they are to be made, and what each depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from benchmarks.trial import families as f
from benchmarks.trial.datasets import ABLATIONS, MAIN, REST, Dataset
from benchmarks.trial.families import Family
from benchmarks.trial.intervals import better
from benchmarks.trial.records import Record, Store
from benchmarks.trial.training import FRESH, Planned

SEEDS, FRESH_SEEDS = range(1, FRESH), range(FRESH, FRESH + 5)
_BEST, _BEST_ABLATED = 8, 3
What = Literal["trials", "seeds", "fresh seeds"]
FIRST = [family for family in f.FAMILIES.values() if not family.runs]
MORE = [f.STATIC_MORE, f.POWER_MORE]
TUNED = [f.STATIC, f.STATIC_POWER]


@dataclass(frozen=True)
class Stage:
    """A part of the plan.

    Args:
        dataset: Its data set.
        what: Trials, or the chosen trial over seeds; fresh ones are for a method that the first found better.
        families: Its families; None where the finished runs decide on them.
        sequence: The sequence that the trials are drawn from.
    """

    dataset: Dataset
    what: What
    families: Sequence[Family] | None = None
    sequence: int = 1


def stages() -> Iterator[Stage]:
    """All stages, in order: a family is finished before the next one begins, and a data set before the next."""
    for dataset in MAIN:
        for family in FIRST:
            yield Stage(dataset, "trials", [family])
            yield Stage(dataset, "seeds", [family])
    for dataset in MAIN:
        yield Stage(dataset, "trials", sequence=2)
        yield Stage(dataset, "seeds", sequence=2)
    for dataset in MAIN:
        yield Stage(dataset, "trials", MORE)
        yield Stage(dataset, "seeds", MORE)
        yield Stage(dataset, "fresh seeds")
        yield Stage(dataset, "trials", [f.GRADOPS_NEAR_0])
        yield Stage(dataset, "seeds", [f.GRADOPS_NEAR_0])
    for dataset in (*REST, *ABLATIONS):
        yield Stage(dataset, "trials")
        yield Stage(dataset, "seeds")
    for dataset in (*MAIN, *REST):
        yield Stage(dataset, "trials", [f.SQRT_INVERSE_RATE])
        yield Stage(dataset, "seeds", [f.SQRT_INVERSE_RATE])


@dataclass(frozen=True)
class Plan:
    """What the finished runs leave to do.

    Args:
        store: The finished runs.
        seeds: Seeds of the chosen points.
        trials: Largest number of trials of a family; all of them by default.
    """

    store: Store
    seeds: Sequence[int] = SEEDS
    trials: int = f.MORE_TRIALS

    def runs(self, stage: Stage) -> Iterator[Planned]:
        """The missing runs of a stage that can be planned now."""
        for family in self.families(stage):
            done = {record.key for record in self.store.records(stage.dataset, family)}
            for planned in self._wanted(stage, family):
                if (planned.trial, planned.seed, planned.task) not in done:
                    yield planned

    def families(self, stage: Stage) -> Sequence[Family]:
        """The families of a stage; those that finished runs decide on are none before these are finished."""
        if stage.families is not None:
            return stage.families
        if stage.sequence == 2:
            return [f.SECOND[family.name] for family in (f.UNIFORM, *TUNED, *self.above(stage.dataset))]
        if stage.what == "fresh seeds":
            above, tuned = self.above(stage.dataset), self.best_tuned(stage.dataset)
            return [f.UNIFORM, tuned, *above] if tuned and above else []
        best = self.best_methods()
        if not best:
            return []
        if stage.dataset in ABLATIONS:
            return [f.UNIFORM, *TUNED, *best[:_BEST_ABLATED]]
        return [*(family for family in f.BASIC if family.kind != "separate models"), *best, *f.SEPARATE]

    def chosen(self, dataset: Dataset, family: Family, first: int = f.MORE_TRIALS) -> list[int]:
        """The trial with the best mean validation AUC among a family's first ones; for separate models one a task.

        Args:
            dataset: The data set.
            family: The family.
            first: Number of trials among which it is chosen, at most.

        Returns:
            One trial, or one a task; nothing before all of them have run or where all have failed.
        """
        limit = min(family.trials, self.trials, first)
        records = [r for r in self.store.records(dataset, family) if r.seed == 0 and r.trial < limit]
        found = []
        for place in _places(dataset, family):
            of_place = [r for r in records if r.task == place]
            complete = [r for r in of_place if not r.failed]
            if len(of_place) < limit or not complete:
                return []
            found.append(min(complete, key=lambda r: (-fmean(r.val), r.trial)).trial)
        return found

    def best_methods(self) -> list[Family]:
        """The eight methods of the best mean rank by the validation AUC of their chosen trials on the main data."""
        ranks: dict[str, list[int]] = {}
        for dataset in MAIN:
            values = {family.name: self._best_validation(dataset, family) for family in f.METHOD_FAMILIES}
            if not all(self._is_tried(dataset, family) for family in f.METHOD_FAMILIES):
                return []
            for rank, name in enumerate(sorted(values, key=lambda name: (-values[name], name))):
                ranks.setdefault(name, []).append(rank)
        return [f.FAMILIES[name] for name in sorted(ranks, key=lambda name: (sum(ranks[name]), name))[:_BEST]]

    def best_tuned(self, dataset: Dataset, tuned: Sequence[Family] = TUNED) -> Family | None:
        """The family of tuned weights with the better validation AUC, of equal trials."""
        if not all(self._is_tried(dataset, family) for family in tuned):
            return None
        return max(tuned, key=lambda family: self._best_validation(dataset, family))

    def above(self, dataset: Dataset) -> list[Family]:
        """The methods above the best tuned weights, which are candidates for *worth its cost*.

        There are none before all families have their seeds. A method of which a seed failed is none either.
        """
        tuned = self.best_tuned(dataset)
        if tuned is None or not self.has_seeds(dataset):
            return []
        base = self.seeded(dataset, tuned, self.seeds)
        runs = {method: self.seeded(dataset, method, self.seeds) for method in f.METHOD_FAMILIES}
        return [m for m, found in runs.items() if len(found) == len(self.seeds) and better(found, base)]

    def seeded(self, dataset: Dataset, family: Family, seeds: Sequence[int]) -> dict[int, list[Record]]:
        """The runs of the chosen trial by seed, as far as a seed ended without failing; several for separate models."""
        trials, places = self.chosen(dataset, family), _places(dataset, family)
        by_key = {r.key: r for r in self.store.records(dataset, family) if not r.failed}
        keys = {seed: [(t, seed, place) for t, place in zip(trials, places, strict=False)] for seed in seeds}
        return {seed: [by_key[k] for k in of] for seed, of in keys.items() if of and all(k in by_key for k in of)}

    def tried(self, dataset: Dataset, family: Family) -> list[Record]:
        """A family's trials, in order; none unless all have run."""
        records = [r for r in self.store.records(dataset, family) if r.seed == 0 and r.trial < family.trials]
        places = dataset.tasks if family.kind == "separate models" else 1
        return sorted(records, key=lambda r: r.trial) if len(records) == family.trials * places else []

    def has_seeds(self, dataset: Dataset) -> bool:
        """Whether every family has run with all seeds, failing or not, so that candidates for fresh ones are known."""
        return all(self.is_done(Stage(dataset, "seeds"), family) for family in FIRST)

    def is_done(self, stage: Stage, family: Family) -> bool:
        """Whether a family has all runs of a stage, ended or failed."""
        if stage.what == "trials":
            return self._is_tried(stage.dataset, family)
        if self._failed(stage.dataset, family):
            return True
        done = {r.key for r in self.store.records(stage.dataset, family)}
        wanted = list(self._wanted(stage, family))
        return bool(wanted) and all((w.trial, w.seed, w.task) in done for w in wanted)

    def _wanted(self, stage: Stage, family: Family) -> Iterator[Planned]:
        places = _places(stage.dataset, family)
        if stage.what == "trials":
            for trial in range(min(family.trials, self.trials)):
                for place in places:
                    yield Planned(stage.dataset, family, trial, 0, place)
            return
        trials = self.chosen(stage.dataset, family)
        for seed in self.seeds if stage.what == "seeds" else FRESH_SEEDS:
            for trial, place in zip(trials, places, strict=False):
                yield Planned(stage.dataset, family, trial, seed, place)

    def _is_tried(self, dataset: Dataset, family: Family) -> bool:
        done = {r.key for r in self.store.records(dataset, family)}
        return all((w.trial, w.seed, w.task) in done for w in self._wanted(Stage(dataset, "trials"), family))

    def _failed(self, dataset: Dataset, family: Family) -> bool:
        """Whether no trial of a family ended, or for separate models none of some task: there is no point to choose."""
        return self._is_tried(dataset, family) and not self.chosen(dataset, family)

    def _best_validation(self, dataset: Dataset, family: Family) -> float:
        found = [r for r in self.store.records(dataset, family) if r.seed == 0 and r.trial < family.trials and r.val]
        return max((fmean(r.val) for r in found), default=0.0)


def _places(dataset: Dataset, family: Family) -> Sequence[int | None]:
    """The places of the only tasks of a family's networks; None for a network for all tasks."""
    return range(dataset.tasks) if family.kind == "separate models" else [None]
