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
from benchmarks.trial.training import Planned

SEEDS, FRESH_SEEDS = range(1, 6), range(6, 11)
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
    """

    dataset: Dataset
    what: What
    families: Sequence[Family] | None = None


def stages() -> Iterator[Stage]:
    """All stages, in order: a family is finished before the next one begins, and a data set before the next."""
    for dataset in MAIN:
        for family in FIRST:
            yield Stage(dataset, "trials", [family])
            yield Stage(dataset, "seeds", [family])
    for dataset in MAIN:
        yield Stage(dataset, "trials", MORE)
        yield Stage(dataset, "seeds", MORE)
        yield Stage(dataset, "fresh seeds")
    for dataset in (*REST, *ABLATIONS):
        yield Stage(dataset, "trials")
        yield Stage(dataset, "seeds")


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

    def runs(self, stage: Stage, tasks: int) -> Iterator[Planned]:
        """The missing runs of a stage that can be planned now.

        Args:
            stage: The stage.
            tasks: Number of tasks of its data set.
        """
        for family in self.families(stage):
            done = {record.key for record in self.store.records(stage.dataset, family)}
            for planned in self._wanted(stage, family, tasks):
                if (planned.trial, planned.seed, planned.task) not in done:
                    yield planned

    def families(self, stage: Stage) -> Sequence[Family]:
        """The families of a stage; those that finished runs decide on are none before these are finished."""
        if stage.families is not None:
            return stage.families
        if stage.what == "fresh seeds":
            return self.confirmed(stage.dataset)
        best = self.best_methods()
        if not best:
            return []
        if stage.dataset in ABLATIONS:
            return [f.UNIFORM, *TUNED, *best[:_BEST_ABLATED]]
        return [*(family for family in f.BASIC if family.kind != "separate models"), *best, *f.SEPARATE]

    def chosen(self, dataset: Dataset, family: Family, tasks: int, first: int = f.MORE_TRIALS) -> list[int]:
        """The trial with the best mean validation AUC among a family's first ones; for separate models one a task.

        Args:
            dataset: The data set.
            family: The family.
            tasks: Number of tasks.
            first: Number of trials among which it is chosen, at most.

        Returns:
            One trial, or one a task; nothing before all of them have run or where all have failed.
        """
        limit = min(family.trials, self.trials, first)
        records = [r for r in self.store.records(dataset, family) if r.seed == 0 and r.trial < limit]
        places = range(tasks) if family.kind == "separate models" else [None]
        found = []
        for place in places:
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

    def best_tuned(self, dataset: Dataset) -> Family | None:
        """The family of tuned weights with the better validation AUC, of equal trials."""
        if not all(self._is_tried(dataset, family) for family in TUNED):
            return None
        return max(TUNED, key=lambda family: self._best_validation(dataset, family))

    def confirmed(self, dataset: Dataset) -> list[Family]:
        """The families to run on fresh seeds: methods above the best tuned weights, these, and uniform scaling.

        There are none before all methods have their seeds.
        """
        tuned = self.best_tuned(dataset)
        runs = {family.name: self.seeded(dataset, family, self.seeds) for family in FIRST}
        complete = all(
            len(runs[family.name]) == len(self.seeds) for family in FIRST if not self._failed(dataset, family)
        )
        if tuned is None or not complete:
            return []
        above = [m for m in f.METHOD_FAMILIES if runs[m.name] and better(runs[m.name], runs[tuned.name])]
        return [f.UNIFORM, tuned, *above] if above else []

    def seeded(self, dataset: Dataset, family: Family, seeds: Sequence[int]) -> dict[int, list[Record]]:
        """The runs of the chosen trial by seed, as far as a seed is complete; several for separate models."""
        tasks = self._tasks(dataset, family)
        trials = self.chosen(dataset, family, tasks)
        places: Sequence[int | None] = range(tasks) if family.kind == "separate models" else [None]
        by_key = {r.key: r for r in self.store.records(dataset, family) if not r.failed}
        keys = {seed: [(t, seed, place) for t, place in zip(trials, places, strict=False)] for seed in seeds}
        return {seed: [by_key[k] for k in of] for seed, of in keys.items() if of and all(k in by_key for k in of)}

    def has_seeds(self, dataset: Dataset) -> bool:
        """Whether every method that can has run with all seeds, so that candidates for fresh ones are known."""
        running = [family for family in FIRST if not self._failed(dataset, family)]
        return all(len(self.seeded(dataset, family, self.seeds)) == len(self.seeds) for family in running)

    def is_done(self, stage: Stage, family: Family) -> bool:
        """Whether a family has all runs of a stage."""
        if stage.what == "trials":
            return self._is_tried(stage.dataset, family)
        if self._failed(stage.dataset, family):
            return True
        done = {r.key for r in self.store.records(stage.dataset, family)}
        wanted = list(self._wanted(stage, family, self._tasks(stage.dataset, family)))
        return bool(wanted) and all((w.trial, w.seed, w.task) in done for w in wanted)

    def _wanted(self, stage: Stage, family: Family, tasks: int) -> Iterator[Planned]:
        separate = family.kind == "separate models"
        places: Sequence[int | None] = range(tasks) if separate else [None]
        if stage.what == "trials":
            for trial in range(min(family.trials, self.trials)):
                for place in places:
                    yield Planned(stage.dataset, family, trial, 0, place)
            return
        trials = self.chosen(stage.dataset, family, tasks)
        for seed in self.seeds if stage.what == "seeds" else FRESH_SEEDS:
            for trial, place in zip(trials, places, strict=False):
                yield Planned(stage.dataset, family, trial, seed, place)

    def _tasks(self, dataset: Dataset, family: Family) -> int:
        """The number of tasks, as finished runs show it."""
        if family.kind != "separate models":
            return 1
        return 1 + max((r.task or 0 for r in self.store.records(dataset, family)), default=0)

    def _is_tried(self, dataset: Dataset, family: Family) -> bool:
        trials = {r.trial for r in self.store.records(dataset, family) if r.seed == 0}
        return len(trials & {*range(min(family.trials, self.trials))}) == min(family.trials, self.trials)

    def _failed(self, dataset: Dataset, family: Family) -> bool:
        """Whether a family has no trial that ended, or no seed of the chosen one."""
        records = self.store.records(dataset, family)
        return self._is_tried(dataset, family) and all(r.failed for r in records if r.seed == 0)

    def _best_validation(self, dataset: Dataset, family: Family) -> float:
        found = [r for r in self.store.records(dataset, family) if r.seed == 0 and r.trial < family.trials and r.val]
        return max((fmean(r.val) for r in found), default=0.0)
