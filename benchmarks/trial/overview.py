"""Tables over several data sets: each family less the best tuned weights, and two families less uniform scaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median

from benchmarks.markdown import head, row
from benchmarks.trial.datasets import MAIN, Dataset
from benchmarks.trial.families import FAMILIES, SQRT_INVERSE_RATE, STATIC_POWER, TRIALS, UNIFORM, Family
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
    gains = {dataset.name: found for dataset in datasets if (found := _gains(plan, dataset, STATIC_POWER))}
    if gains:
        yield from head(["power", *(f"`{name}`" for name in gains)])
        for trial in sorted(range(TRIALS), key=STATIC_POWER.power):
            cells = ("failed" if found[trial] is None else f"{found[trial]:+.4f}" for found in gains.values())
            yield row([f"{STATIC_POWER.power(trial):+.2f}", *cells])


def pairs(plan: Plan, datasets: Sequence[Dataset]) -> Iterator[str]:
    """A row a data set: how often and how far ``sqrt_inverse_rate`` is above ``uniform`` with equal rates.

    Args:
        plan: The plan with its finished runs.
        datasets: The data sets; those without all these trials are left out.
    """
    tried = {dataset.name: _gains(plan, dataset, SQRT_INVERSE_RATE) for dataset in datasets}
    ended = {name: [gain for gain in gains if gain is not None] for name, gains in tried.items()}
    if found := {name: gains for name, gains in ended.items() if gains}:
        yield from head(["data set", "pairs", "above", "least", "median", "most"])
        for name, gains in found.items():
            above = sum(gain > 0 for gain in gains)
            spread = (f"{gain:+.4f}" for gain in (min(gains), median(gains), max(gains)))
            yield row([f"`{name}`", str(len(gains)), str(above), *spread])


def _gains(plan: Plan, dataset: Dataset, family: Family) -> list[float | None]:
    """What each trial of a family gains over uniform scaling; empty before both have their trials."""
    return [_gain(*pair) for pair in zip(plan.tried(dataset, family), plan.tried(dataset, UNIFORM), strict=False)]


def _gain(one: Record, other: Record) -> float | None:
    return None if one.failed or other.failed else fmean(one.test) - fmean(other.test)


_ONCE = [*(family for family in FAMILIES.values() if family not in MORE), SQRT_INVERSE_RATE]


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
