"""Tables under the paper's protocol, from the records of finished runs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from scipy.special import stdtrit

from benchmarks.markdown import head, row
from benchmarks.paper.record import Record
from pipeline.evaluation.multitask import delta_m_pct, mean_rank
from pipeline.runs.plan import SINGLE_TASK, UNIFORM

Aucs = Mapping[str, float]
LEVEL = 0.95


@dataclass(frozen=True)
class Finished:
    """The test AUC of every finished system.

    Args:
        tasks: The tasks, in order.
        systems: Those of the plan, finished or not.
        aucs: System to seed to its AUC of each task; only seeds of which every task is finished.
        begun: The same of the seeds of which some task is missing.
    """

    tasks: Sequence[str]
    systems: Sequence[str]
    aucs: Mapping[str, Mapping[int, Aucs]]
    begun: Mapping[str, Mapping[int, Aucs]]

    @classmethod
    def of(cls, tasks: Sequence[str], systems: Sequence[str], records: Sequence[Record]) -> Finished:
        """The finished systems, in the order of the plan."""
        found: dict[str, dict[int, dict[str, float]]] = {system: {} for system in systems}
        for record in records:
            values = {task: metrics["auc"] for task, metrics in record.test.items()}
            found[record.system].setdefault(record.seed, {}).update(values)

        def where(is_whole: bool) -> dict[str, dict[int, dict[str, float]]]:
            chosen = {s: [k for k in sorted(v) if (len(v[k]) == len(tasks)) == is_whole] for s, v in found.items()}
            return {system: {k: found[system][k] for k in seeds} for system, seeds in chosen.items() if seeds}

        return cls(tasks, systems, where(True), where(False))

    def common(self, system: str, baseline: str) -> list[int]:
        """The seeds that both systems have."""
        return [seed for seed in self.aucs.get(system, {}) if seed in self.aucs.get(baseline, {})]

    def means(self, system: str, seeds: Sequence[int]) -> dict[str, float]:
        """A system's AUC of each task, as means over seeds."""
        return {task: fmean(self.aucs[system][seed][task] for seed in seeds) for task in self.tasks}


def one_seed(finished: Finished, seed: int, paper: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines of the table of one seed, beside the paper's figures.

    Mean Rank is among the systems of the table: beside the paper's it says nothing before all of the plan are there.

    Args:
        finished: The finished systems.
        seed: The seed.
        paper: System to the cells of its row in the paper's table; empty for other configs.
    """
    aucs = {system: seeds[seed] for system, seeds in finished.aucs.items() if seed in seeds}
    single = aucs.get(SINGLE_TASK.name)
    ranks = (
        {system: f"{rank:.2f}" for system, rank in mean_rank(aucs).items()}
        if len(aucs) == len(finished.systems)
        else {}
    )
    beside = ["the paper: " + finished.tasks[0], *finished.tasks[1:], "Δm%", "Mean Rank"] if paper else []
    yield from head(["system", *finished.tasks, "Δm%", "Mean Rank", *beside])
    for system, auc in aucs.items():
        drop = f"{delta_m_pct(auc, single):+.3f}" if single else "-"
        cells = [*(f"{auc[task]:.4f}" for task in finished.tasks), drop, ranks.get(system, "-")]
        yield row([f"`{system}`", *cells, *paper.get(system, [""] * len(beside))])
    for system, some in ((system, seeds[seed]) for system, seeds in finished.begun.items() if seed in seeds):
        cells = [*(f"{some[task]:.4f}" if task in some else "-" for task in finished.tasks), "-", "-"]
        yield row([f"`{system}`", *cells, *paper.get(system, [""] * len(beside))])


def over_seeds(finished: Finished) -> Iterator[str]:
    """The lines of the table of the systems that have several seeds, and of their differences from the baselines."""
    several = {s: list(seeds) for s, seeds in finished.aucs.items() if len(seeds) > 1}
    if not several:
        return
    yield from head(["system", "seeds", *finished.tasks])
    for system, seeds in several.items():
        spread = [(fmean(v), stdev(v)) for v in ([finished.aucs[system][k][t] for k in seeds] for t in finished.tasks)]
        yield row([f"`{system}`", str(len(seeds)), *(f"{mean:.4f} ± {sd:.4f}" for mean, sd in spread)])
    for baseline in (UNIFORM.name, SINGLE_TASK.name):
        rows = [r for s in several if s != baseline and (r := _differences(finished, s, baseline))]
        if rows:
            yield ""
            yield from head([f"less `{baseline}`", "seeds", *finished.tasks, "average", "Δm%"])
            yield from map(row, rows)


def _differences(finished: Finished, system: str, baseline: str) -> list[str]:
    """A row of paired differences from a baseline with their intervals over seeds; empty below two common seeds."""
    seeds = finished.common(system, baseline)
    if len(seeds) < 2:
        return []
    pairs = [(finished.aucs[system][seed], finished.aucs[baseline][seed]) for seed in seeds]
    by_task = [[auc[task] - base[task] for auc, base in pairs] for task in finished.tasks]
    average = [fmean(values) for values in zip(*by_task, strict=True)]
    drops = [delta_m_pct(auc, base) for auc, base in pairs]
    cells = [interval(values, 4) for values in (*by_task, average)]
    return [f"`{system}`", str(len(seeds)), *cells, interval(drops, 2)]


def interval(values: Sequence[float], digits: int) -> str:
    """A mean and its interval by Student's t: what other seeds would give on the same test rows."""
    mean = fmean(values)
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * stdev(values) / sqrt(len(values))
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def papers_rows(path: Path) -> dict[str, list[str]]:
    """The paper's table 1: system, as we name it, to its cells without the average."""
    names = {"Single-task": SINGLE_TASK.name, "Uniform scaling": UNIFORM.name}
    names |= {"GradNorm": "gradnorm(tau=1.5, lr=0.025)", "GradVac": "gradvac(beta=0.01)", "MGDA-UB": "mgda_ub"}
    names |= {"CAGrad": "cagrad(c=0.5)", "PCGrad": "pcgrad", "IMTL-G": "imtl_g", "RotoGrad-R": "rotograd_r"}
    names |= {f"GradOPS(alpha={alpha})": f"gradops(alpha={alpha}.0)" for alpha in (0, 2, -1, -2, -3)}
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    columns = ("income", "marital", "education", "delta_m_pct", "mean_rank")
    return {names[of["method"]]: [of[column] for column in columns] for of in rows}
