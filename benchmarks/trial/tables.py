"""The tables of docs/results-trial.md, from the files of finished runs: `python -m benchmarks.trial.tables`.

For each data set: the chosen points over the seeds, and the trials themselves. Then what is planned and not done. With
`--write` they take the place of those in the document; what stands above them is written by people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np

from benchmarks.trial import families as f
from benchmarks.trial import world
from benchmarks.trial.ceilings import ceilings
from benchmarks.trial.datasets import DATASETS, Dataset
from benchmarks.trial.families import Family
from benchmarks.trial.fronts import Trials
from benchmarks.trial.intervals import Floats, Interval, Runs, aucs, difference
from benchmarks.trial.plan import FRESH_SEEDS, SEEDS, Plan, stages
from benchmarks.trial.records import RESULTS, Record, Store
from pipeline.evaluation.multitask import delta_m_pct

DOCUMENT = RESULTS.parents[1] / "results-trial.md"
TITLE = "## Tables"
_FIRST = (5, 10, 20)


def heads(dataset: Dataset) -> list[str]:
    """The tasks' names in tables."""
    if dataset.config == "log8":
        return [f"{100 * rate:.2g} %" for rate in world.RATES]
    return list(dataset.axes)


def chosen_points(plan: Plan, dataset: Dataset, seeds: Sequence[int] = SEEDS) -> Iterator[str]:
    """The table of the chosen points of all families whose seeds are finished, the best mean first."""
    families = [family for family in f.FAMILIES.values() if len(plan.seeded(dataset, family, seeds)) == len(seeds)]
    runs = {family.name: plan.seeded(dataset, family, seeds) for family in families}
    tuned = plan.best_tuned(dataset)
    if f.UNIFORM.name not in runs or tuned is None or tuned.name not in runs:
        return
    top_ST = ceilings(plan.store.folder, dataset, seeds)
    yield _row(["family", *heads(dataset), "mean", "less `uniform`", f"less `{tuned.name}`", "Δm%", "gap closed"])
    yield _row(["---"] * (len(heads(dataset)) + 6))
    single = runs.get("single_task")
    for family in sorted(families, key=lambda family: -aucs(runs[family.name]).mean()):
        one = runs[family.name]
        against = [difference(one, runs[tuned.name], task) for task in range(len(heads(dataset)))]
        tasks = [f"{auc:.4f}{i.mark}" for auc, i in zip(aucs(one).mean(axis=0), against, strict=True)]
        yield _row(
            [
                f"`{family.name}`",
                *tasks,
                f"{aucs(one).mean():.4f}",
                _less(one, runs[f.UNIFORM.name]),
                _less(one, runs[tuned.name]),
                "" if single is None else f"{_drop(one, single):+.2f}",
                "" if top_ST is None else _closed(aucs(one), aucs(runs[f.UNIFORM.name]), top_ST),
            ]
        )
    if top_ST is not None:
        cells = [f"{top:.4f}" for top in top_ST.mean(axis=0)]
        yield _row(["the truth itself", *cells, f"{top_ST.mean():.4f}", "", "", "", "100 %"])


def cosines(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """A sentence on the cosines of the tasks' gradients at the shared parameters, under uniform scaling."""
    found = [r.cosines for runs in plan.seeded(dataset, f.UNIFORM, SEEDS).values() for r in runs if r.cosines]
    if found:
        mean_P = np.mean(found, axis=0) / 100
        limits = f"from {mean_P.min():+.2f} to {mean_P.max():+.2f}"
        pairs = f"{int((mean_P < 0).sum())} of {len(mean_P)} pairs are below 0"
        over = f"mean over steps and {len(found)} seeds"
        yield f"Cosines of the tasks' gradients under `uniform`, {over}: {limits}; {pairs}."
        yield ""


def all_trials(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """The table of the trials: fronts, the best of the first ones, and what they cost."""
    trials = {family.name: trials_of(plan, dataset, family) for family in f.FAMILIES.values()}
    tuned = plan.best_tuned(dataset)
    if tuned is None or not trials[f.STATIC.name]:
        return
    volumes = {name: Trials.of(dataset, records).bootstrap() for name, records in trials.items() if records}
    costs = ["failed", "s a trial", "trials for the cost of 20 `static`", "the best of these", "chosen"]
    yield _row(["family", "hypervolume", f"less `{tuned.name}`", *(f"best of {n}" for n in _FIRST), *costs])
    yield _row(["---"] * (len(_FIRST) + 8))
    budget = sum(record.seconds for record in trials[f.STATIC.name])
    hyper = {name: Trials.of(dataset, trials[name]).hypervolume() for name in volumes}
    for name in sorted(volumes, key=lambda name: -hyper[name]):
        records, gain_D = trials[name], volumes[name] - volumes[tuned.name]
        paid = _paid(records, budget)
        yield _row(
            [
                f"`{name}`",
                f"{hyper[name]:.4f} [{np.quantile(volumes[name], 0.025):.4f}, {np.quantile(volumes[name], 0.975):.4f}]",
                _quantiles(hyper[name] - hyper[tuned.name], gain_D),
                *(_best_of(records, n) for n in _FIRST),
                str(sum(bool(record.failed) for record in records) or ""),
                f"{sum(record.seconds for record in records) / (1 + max(r.trial for r in records)):.1f}",
                str(paid),
                _best_of(records, paid),
                _chosen(plan, dataset, f.FAMILIES[name]),
            ]
        )


def missing(plan: Plan) -> Iterator[str]:
    """What is planned and not done, a line a data set."""
    for dataset in DATASETS.values():
        lacking: dict[str, list[str]] = {}
        planned = 0
        for stage in (stage for stage in stages() if stage.dataset is dataset):
            families = plan.families(stage)
            planned += len(families)
            undecided = stage.families is None and not families
            if undecided and not (stage.what == "fresh seeds" and plan.has_seeds(dataset)):
                lacking.setdefault(stage.what, []).append("families that earlier runs decide on")
            names = [f"`{family.name}`" for family in families if not plan.is_done(stage, family)]
            if names:
                lacking.setdefault(stage.what, []).extend(names)
        if sum(map(len, lacking.values())) >= planned:
            yield f"- `{dataset.name}`: everything."
        elif lacking:
            parts = [f"{what} of {', '.join(names)}" for what, names in lacking.items()]
            yield f"- `{dataset.name}`: {'; '.join(parts)}."


def tables(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """All tables of a data set; nothing before its first ones are possible."""
    for title, lines in (
        ("Chosen points, test AUC over seeds 1 to 5", list(chosen_points(plan, dataset))),
        ("The same on fresh seeds 6 to 10", list(chosen_points(plan, dataset, FRESH_SEEDS))),
        ("Trials", list(all_trials(plan, dataset))),
    ):
        if lines:
            yield from [f"**{title}**", "", *lines, ""]


def trials_of(plan: Plan, dataset: Dataset, family: Family) -> list[Record]:
    """A family's trials, in order; none unless all have run."""
    records = [r for r in plan.store.records(dataset, family) if r.seed == 0 and r.trial < family.trials]
    places = len(heads(dataset)) if family.kind == "separate models" else 1
    return sorted(records, key=lambda r: r.trial) if len(records) == family.trials * places else []


def _best_of(records: Sequence[Record], trials: int) -> str:
    """The mean test AUC of the trial with the best validation among the first ones, task by task if it has several."""
    tasks = {record.task for record in records}
    aucs: list[float] = []
    for task in sorted(tasks, key=lambda task: task or 0):
        found = [r for r in records if r.task == task and r.trial < trials and r.val]
        if not found:
            return "-"
        aucs += min(found, key=lambda r: (-fmean(r.val), r.trial)).test
    return f"{fmean(aucs):.4f}"


def _paid(records: Sequence[Record], budget: float) -> int:
    """The number of first trials that a budget of core-seconds pays for."""
    by_trial = [0.0] * (1 + max(record.trial for record in records))
    for record in records:
        by_trial[record.trial] += record.seconds
    return int(np.searchsorted(np.cumsum(by_trial), budget * (1 + 1e-9), side="right"))


def _chosen(plan: Plan, dataset: Dataset, family: Family) -> str:
    """The options of a family's chosen trial, or of each task's."""
    return ", ".join(family.described(trial) for trial in plan.chosen(dataset, family, len(heads(dataset))))


def _less(one: Runs, other: Runs) -> str:
    return "" if one == other else str(difference(one, other))


def _quantiles(value: float, drawn_D: Floats) -> str:
    low, high = np.quantile(drawn_D, [0.025, 0.975])
    return str(Interval(value, 0.0)).partition(" ")[0] + f" [{low:+.4f}, {high:+.4f}]" if drawn_D.any() else ""


def _drop(one: Runs, base: Runs) -> float:
    return delta_m_pct(aucs(one).mean(axis=0).tolist(), aucs(base).mean(axis=0).tolist())


def _closed(one_ST: Floats, uniform_ST: Floats, top_ST: Floats) -> str:
    """The share of the gap from uniform scaling to the truth, of means over tasks and seeds."""
    return f"{100 * (one_ST.mean() - uniform_ST.mean()) / (top_ST.mean() - uniform_ST.mean()):.0f} %"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page(plan: Plan) -> Iterator[str]:
    """All tables, their pictures, and what is missing."""
    yield TITLE
    yield ""
    for dataset in DATASETS.values():
        if lines := list(tables(plan, dataset)):
            yield from [f"### `{dataset.name}`", "", *cosines(plan, dataset), *lines]
            if (DOCUMENT.parent / "figures" / f"trial-{dataset.name}.svg").exists():
                yield from [f"![Fronts on {dataset.name}](figures/trial-{dataset.name}.svg)", ""]
    yield from ["## Missing", "", *(list(missing(plan)) or ["Nothing."])]


def main() -> None:
    """Print the tables, or write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write them into docs/results-trial.md")
    text = "\n".join(page(Plan(Store()))) + "\n"
    if parser.parse_args().write:
        above, _, _ = DOCUMENT.read_text().partition(TITLE)
        DOCUMENT.write_text(above + text)
    else:
        print(text)


if __name__ == "__main__":
    main()
