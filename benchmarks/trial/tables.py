"""The tables of docs/results-trial.md, from the files of finished runs: `python -m benchmarks.trial.tables`.

For each data set: the chosen points over the seeds, the trials themselves, and the candidates for *worth its cost*.
Then what is planned and not done. With `--write` they take the place of those in the document; what stands above them
is written by people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from benchmarks.markdown import head, row
from benchmarks.trial import families as f
from benchmarks.trial import world
from benchmarks.trial.ceilings import ceilings
from benchmarks.trial.datasets import ABLATIONS, DATASETS, MAIN, REST, Dataset
from benchmarks.trial.families import Family
from benchmarks.trial.fronts import trials
from benchmarks.trial.intervals import Floats, Interval, Runs, aucs, difference
from benchmarks.trial.overview import overview, pairs, powers
from benchmarks.trial.plan import FRESH_SEEDS, MORE, SEEDS, TUNED, Plan, Stage, stages
from benchmarks.trial.records import RESULTS, Store
from pipeline.evaluation.multitask import delta_m_pct

DOCUMENT = RESULTS.parents[1] / "results-trial.md"
TITLE = "## Tables"
_FIRST = (5, 10, 20)


def heads(dataset: Dataset) -> list[str]:
    """The tasks' names in tables."""
    if dataset.config == "log8":
        return [f"{100 * rate:.2g} %" for rate in world.RATES]
    return list(dataset.axes)


def chosen_points(plan: Plan, dataset: Dataset, seeds: Sequence[int] = SEEDS, sequence: int = 1) -> Iterator[str]:
    """The table of the chosen points of all families whose seeds have run, the best mean first, failed ones last."""
    uniform, tuned = _bases(plan, dataset, sequence)
    if tuned is None:
        return
    stage = Stage(dataset, "seeds" if seeds == SEEDS else "fresh seeds", sequence=sequence)
    done = [family for family in _of(sequence) if plan.is_done(stage, family)]
    runs = {family.name: plan.seeded(dataset, family, seeds) for family in done}
    whole = {name: found for name, found in runs.items() if len(found) == len(seeds)}
    if uniform.name not in whole or tuned.name not in whole:
        return
    top_ST = ceilings(plan.store.folder, dataset, seeds)
    less = [f"less `{base.name}`" for base in (uniform, tuned)]
    yield from head(["family", *heads(dataset), "mean", *less, "Δm%", "gap closed"])
    single = whole.get("single_task")
    for name, one in sorted(whole.items(), key=lambda item: -aucs(item[1]).mean()):
        against = [difference(one, runs[tuned.name], task) for task in range(dataset.tasks)]
        tasks = [f"{auc:.4f}{i.mark}" for auc, i in zip(aucs(one).mean(axis=0), against, strict=True)]
        yield row(
            [
                f"`{name}`",
                *tasks,
                f"{aucs(one).mean():.4f}",
                _less(one, runs[uniform.name]),
                _less(one, runs[tuned.name]),
                "" if single is None else f"{_drop(one, single):+.2f}",
                "" if top_ST is None else _closed(aucs(one), aucs(runs[uniform.name]), top_ST),
            ]
        )
    for name, found in ((name, found) for name, found in runs.items() if name not in whole):
        reason = f"failed on {len(seeds) - len(found)} of {len(seeds)}"
        yield row([f"`{name}`", *[""] * dataset.tasks, reason, "", "", "", ""])
    if top_ST is not None:
        cells = [f"{top:.4f}" for top in top_ST.mean(axis=0)]
        yield row(["the truth itself", *cells, f"{top_ST.mean():.4f}", "", "", "", "100 %"])


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


def all_trials(plan: Plan, dataset: Dataset, sequence: int = 1) -> Iterator[str]:
    """The table of the trials: fronts, the best of the first ones and of half of them, and what they cost."""
    _, tuned = _bases(plan, dataset, sequence)
    of_all = {family.name: plan.tried(dataset, family) for family in _of(sequence)}
    records = {name: of_family for name, of_family in of_all.items() if of_family}
    if tuned is None or tuned.name not in records:
        return
    found = {name: trials(dataset, of_family) for name, of_family in records.items()}
    halves = {name: (some.volumes_of_half(), some.bests_of_half()) for name, some in found.items()}
    cost = costs(plan, dataset)
    heading = ["family", "hypervolume", "less tuned", "of half", "less tuned", *(f"best of {n}" for n in _FIRST)]
    heading += [
        "best of half",
        "less tuned",
        "failed",
        "s a trial",
        "trials for the cost of 20 `static`",
        "the best of these",
        "chosen",
    ]
    yield from head(heading)
    for name in sorted(found, key=lambda name: -found[name].volume):
        paid = min(int(f.TRIALS * cost["static"] / cost[name] + 1e-9), found[name].number)
        (volume_D, best_D), (base_volume_D, base_best_D) = halves[name], halves[tuned.name]
        is_paired = name != tuned.name and found[name].number == found[tuned.name].number
        yield row(
            [
                f"`{name}`",
                f"{found[name].volume:.4f}",
                f"{found[name].volume - found[tuned.name].volume:+.4f}" if name != tuned.name else "",
                f"{volume_D.mean():.4f}",
                f"{(volume_D - base_volume_D).mean():+.4f}" if is_paired else "",
                *(f"{found[name].best(np.arange(n)):.4f}" for n in _FIRST),
                f"{best_D.mean():.4f} ± {best_D.std():.4f}",
                f"{(best_D - base_best_D).mean():+.4f} ± {(best_D - base_best_D).std():.4f}" if is_paired else "",
                str(sum(bool(record.failed) for record in records[name]) or ""),
                f"{cost[name]:.1f}",
                str(paid),
                f"{found[name].best(np.arange(paid)):.4f}",
                _chosen(plan, dataset, f.EVERY[name]),
            ]
        )


def costs(plan: Plan, dataset: Dataset) -> dict[str, float]:
    """Family to core-seconds of a trial: the median over the trials of all families whose steps have equal passes.

    Those of one family have the noise of a busy machine. Families that were added after the runs do not count.
    """
    seconds: dict[str, list[float]] = {}
    for family in (family for family in f.EVERY.values() if family not in f.POST_HOC):
        by_trial: dict[int, float] = {}
        for record in plan.tried(dataset, family):
            by_trial[record.trial] = by_trial.get(record.trial, 0.0) + (0.0 if record.failed else record.seconds)
        seconds.setdefault(family.cost, []).extend(value for value in by_trial.values() if value)
    return {family.name: median(seconds[family.cost]) for family in f.EVERY.values() if seconds.get(family.cost)}


def candidates(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """The table of the methods above tuned weights on the first seeds, and of all that *worth its cost* needs."""
    above, tuned = plan.above(dataset), plan.best_tuned(dataset)
    if tuned is None or not above:
        if plan.has_seeds(dataset):
            yield "No method is above the best tuned weights on seeds 1 to 5: none is worth its cost here."
        return
    looks = ["less tuned weights", "of 60 trials, at least its cost", "fresh seeds", "second sequence"]
    yield from head(["method", *looks, "worth it"])
    more, second = plan.best_tuned(dataset, MORE), plan.best_tuned(dataset, [f.SECOND[base.name] for base in TUNED])
    for method in above:
        found = [
            _look(plan, dataset, method, tuned, SEEDS),
            _look(plan, dataset, method, more, SEEDS),
            _look(plan, dataset, method, tuned, FRESH_SEEDS),
            _look(plan, dataset, f.SECOND[method.name], second, SEEDS),
        ]
        verdict = "open" if None in found else "yes" if all(look and look.mark == "▲" for look in found) else "no"
        yield row([f"`{method.name}`", *(str(look or "not run") for look in found), verdict])


def _look(plan: Plan, dataset: Dataset, one: Family, other: Family | None, seeds: Sequence[int]) -> Interval | None:
    """A difference over whole seeds; None before both have them."""
    if other is None:
        return None
    ours, theirs = (plan.seeded(dataset, family, seeds) for family in (one, other))
    return difference(ours, theirs) if len(ours) == len(theirs) == len(seeds) else None


def missing(plan: Plan) -> Iterator[str]:
    """What is planned and not done, a line a data set."""
    for dataset in DATASETS.values():
        lacking: dict[str, list[str]] = {}
        planned = 0
        for stage in (stage for stage in stages() if stage.dataset is dataset):
            families = plan.families(stage)
            planned += len(families)
            names = [f"`{family.name}`" for family in families if not plan.is_done(stage, family)]
            depends_on_seeds = stage.sequence == 2 or stage.what == "fresh seeds"
            if stage.families is None and not (plan.has_seeds(dataset) if depends_on_seeds else families):
                names.append("families that earlier runs decide on")
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
        ("Chosen points of the second sequence", list(chosen_points(plan, dataset, sequence=2))),
        ("Trials of the second sequence", list(all_trials(plan, dataset, sequence=2))),
        ("Candidates for *worth its cost*", list(candidates(plan, dataset))),
    ):
        if lines:
            yield from [f"**{title}**", "", *lines, ""]


def _beside_their_own() -> list[Dataset]:
    """Each of the main data sets before its ablations."""
    return [d for main in MAIN for d in (main, *(a for a in ABLATIONS if a.config == main.config))]


def _of(sequence: int) -> list[Family]:
    return [family for family in f.EVERY.values() if family.sequence == sequence]


def _bases(plan: Plan, dataset: Dataset, sequence: int) -> tuple[Family, Family | None]:
    """Uniform scaling and the best tuned weights of a sequence."""
    families = [f.UNIFORM, *TUNED] if sequence == 1 else [f.SECOND[base.name] for base in (f.UNIFORM, *TUNED)]
    return families[0], plan.best_tuned(dataset, families[1:])


def _chosen(plan: Plan, dataset: Dataset, family: Family) -> str:
    """The options of a family's chosen trial, or of each task's."""
    return ", ".join(family.described(trial) for trial in plan.chosen(dataset, family))


def _less(one: Runs, other: Runs) -> str:
    return "" if one == other else str(difference(one, other))


def _drop(one: Runs, base: Runs) -> float:
    return delta_m_pct(aucs(one).mean(axis=0).tolist(), aucs(base).mean(axis=0).tolist())


def _closed(one_ST: Floats, uniform_ST: Floats, top_ST: Floats) -> str:
    """The share of the gap from uniform scaling to the truth, of means over tasks and seeds."""
    return f"{100 * (one_ST.mean() - uniform_ST.mean()) / (top_ST.mean() - uniform_ST.mean()):.0f} %"


def _overviews(plan: Plan) -> Iterator[tuple[str, str, list[str]]]:
    """Title, caption and lines of the tables over several data sets."""
    less = "Mean test AUC of the chosen points, less that of each data set's best tuned weights."
    yield "All data sets", less, list(overview(plan, (*MAIN, *REST)))
    yield "Ablations", less, list(overview(plan, _beside_their_own()))
    equal = "Mean test AUC of each trial of `{}`, less that of the trial of `uniform` with equal rates; one seed."
    yield "One power of the losses as weights", equal.format("static_power"), list(powers(plan, [*DATASETS.values()]))
    yield "The config's rule as weights", equal.format("sqrt_inverse_rate"), list(pairs(plan, (*MAIN, *REST)))


def page(plan: Plan) -> Iterator[str]:
    """All tables, their pictures, and what is missing."""
    yield TITLE
    yield ""
    for title, caption, lines in _overviews(plan):
        if lines:
            yield from [f"### {title}", "", caption, "", *lines, ""]
    for dataset in DATASETS.values():
        if lines := list(tables(plan, dataset)):
            yield from [f"### `{dataset.name}`", "", *cosines(plan, dataset), *lines]
            if (DOCUMENT.parent / "figures" / "trial" / f"{dataset.name}.svg").exists():
                yield from [f"![Fronts on {dataset.name}](figures/trial/{dataset.name}.svg)", ""]
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
