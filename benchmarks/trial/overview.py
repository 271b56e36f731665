"""Tables over several data sets: each family's difference from the best tuned weights, and that of each power."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from benchmarks.markdown import head, row
from benchmarks.trial.datasets import MAIN, Dataset
from benchmarks.trial.families import FAMILIES, RULE, STATIC_POWER, TRIALS, UNIFORM, Family
from benchmarks.trial.intervals import difference
from benchmarks.trial.plan import MORE, SEEDS, Plan, Stage
from benchmarks.trial.records import Record


def overview(plan: Plan, datasets: Sequence[Dataset]) -> Iterator[str]:
    """A row a family that has run on others than the main data sets too, a column a data set.

    Args:
        plan: The plan with its finished runs.
        datasets: The data sets; those without any family's seeds are left out.
    """
    shown = [dataset for dataset in datasets if any(_is_done(plan, dataset, family) for family in _ONCE)]
    beyond = [dataset for dataset in shown if dataset not in MAIN]
    families = [family for family in _ONCE if any(_is_done(plan, dataset, family) for dataset in beyond)]
    if families:
        yield from head(["family", *(f"`{dataset.name}`" for dataset in shown)])
        columns = [_column(plan, dataset, families) for dataset in shown]
        for family, *cells in zip(families, *columns, strict=True):
            yield row([f"`{family.name}`", *cells])


def powers(plan: Plan, datasets: Sequence[Dataset]) -> Iterator[str]:
    """A row a trial of ``static_power``, by its power: its test AUC less that of ``uniform`` with equal rates.

    Args:
        plan: The plan with its finished runs.
        datasets: The data sets; those without all these trials are left out.
    """
    gains = {dataset.name: found for dataset in datasets if (found := _gains(plan, dataset))}
    if gains:
        yield from head(["power", *(f"`{name}`" for name in gains)])
        for trial in sorted(range(TRIALS), key=STATIC_POWER.power):
            yield row([f"{STATIC_POWER.power(trial):+.2f}", *(found[trial] for found in gains.values())])


def _gains(plan: Plan, dataset: Dataset) -> list[str]:
    """The gain of each trial of ``static_power``; empty before both families have their trials."""
    pairs = zip(plan.tried(dataset, STATIC_POWER), plan.tried(dataset, UNIFORM), strict=False)
    return [_gain(one, other) for one, other in pairs]


def _gain(one: Record, other: Record) -> str:
    return "failed" if one.failed or other.failed else f"{fmean(one.test) - fmean(other.test):+.4f}"


_ONCE = [*(family for family in FAMILIES.values() if family not in MORE), RULE]


def _is_done(plan: Plan, dataset: Dataset, family: Family) -> bool:
    return plan.is_done(Stage(dataset, "seeds"), family)


def _column(plan: Plan, dataset: Dataset, families: Sequence[Family]) -> list[str]:
    tuned = plan.best_tuned(dataset)
    return [_cell(plan, dataset, family, tuned) for family in families]


def _cell(plan: Plan, dataset: Dataset, family: Family, tuned: Family | None) -> str:
    if tuned is None or not _is_done(plan, dataset, family):
        return ""
    if family == tuned:
        return "tuned"
    ours, theirs = (plan.seeded(dataset, of, SEEDS) for of in (family, tuned))
    if len(ours) < len(SEEDS) or len(theirs) < len(SEEDS):
        return "failed"
    found = difference(ours, theirs)
    return f"{found.mean:+.4f}{found.mark}"
