"""One table over several data sets: each family's difference from the best tuned weights of each data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.markdown import head, row
from benchmarks.trial.datasets import MAIN, Dataset
from benchmarks.trial.families import FAMILIES, Family
from benchmarks.trial.intervals import difference
from benchmarks.trial.plan import MORE, SEEDS, Plan, Stage


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
        for family in families:
            yield row([f"`{family.name}`", *(_cell(plan, dataset, family) for dataset in shown)])


_ONCE = [family for family in FAMILIES.values() if family not in MORE]


def _is_done(plan: Plan, dataset: Dataset, family: Family) -> bool:
    return plan.is_done(Stage(dataset, "seeds"), family)


def _cell(plan: Plan, dataset: Dataset, family: Family) -> str:
    tuned = plan.best_tuned(dataset)
    if tuned is None or not _is_done(plan, dataset, family):
        return ""
    if family == tuned:
        return "tuned"
    ours, theirs = (plan.seeded(dataset, of, SEEDS) for of in (family, tuned))
    if len(ours) < len(SEEDS) or len(theirs) < len(SEEDS):
        return "failed"
    found = difference(ours, theirs)
    return f"{found.mean:+.4f}{found.mark}"
