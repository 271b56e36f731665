"""A comparison: single-task models, every method and boosting on the same data and seeds, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from pathlib import Path
from statistics import mean, stdev

from pipeline.comparison.boosting import boosting_folder
from pipeline.comparison.boosting_notes import boosting_notes
from pipeline.comparison.candidates import Candidate, best_run
from pipeline.comparison.confidence import Confidence, confidence
from pipeline.comparison.findings import Findings, labels_of, mean_metrics
from pipeline.comparison.made_of import CROSS_FITTED
from pipeline.comparison.result_path import result_path
from pipeline.comparison.same_methods import same_methods
from pipeline.comparison.scores import TestRows
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import Ties, delta_m_pct, mean_rank
from pipeline.files.atomic import fingerprint
from pipeline.runs.plan import (
    BOOSTING,
    BUNDLE,
    CANDIDATES,
    ENSEMBLE,
    REFERENCES,
    SINGLE_TASK,
    UNIFORM,
    PlannedRun,
    Split,
    System,
)
from pipeline.runs.run import Run, run_folder


@dataclass(frozen=True)
class Row:
    """One system's figures on one split, over its seeds.

    Args:
        system: Its name.
        auc: Mean AUC of each task.
        deviation: Standard deviation of each task's AUC over the seeds; None with one seed.
        average: Mean of the tasks' AUC.
        delta_m_pct: Mean relative drop against the single-task models in percent; lower is better.
        mean_rank: Mean over the tasks of the system's rank by AUC among the networks; 1 is best. None for boosting.
    """

    system: str
    auc: dict[str, float]
    deviation: dict[str, float] | None
    average: float
    delta_m_pct: float
    mean_rank: float | None


@dataclass(frozen=True)
class Comparison:
    """Every run of a comparison, and the tables made from the runs.

    Args:
        config: The config.
        prepared: The data.
        systems: Name of a system to its runs: one a seed for a method, one a seed and task for ``single-task``, and one
            a task for ``boosting``.
        rows: The test rows that the systems are compared on.
        made: Name of a baseline's model for all tasks, which ``compare.candidates`` asks for, to its run: ``bundle``
            and ``boosting``. It has no row of its own; a ``single-task`` or a ``boosting`` row has its figures.
    """

    config: RunConfig
    prepared: Prepared
    systems: dict[str, list[Run]]
    rows: TestRows
    made: dict[str, Run] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The comparison's fingerprint; comparisons of equal runs have equal ones."""
        return comparison_fingerprint(self.config, self.prepared)

    def table(self, split: Split, ties: Ties = "average") -> list[Row]:
        """One row a system: the single-task models first, then the methods in the config's order, then boosting."""
        tasks = self.config.tasks
        values = {s: {t: _aucs(found, t, split) for t in tasks} for s, found in self.systems.items()}
        auc = {s: {t: mean(v) for t, v in by_task.items()} for s, by_task in values.items()}
        ranks = mean_rank({s: by_task for s, by_task in auc.items() if System.named(s).is_ranked}, ties)
        return [
            Row(
                system=s,
                auc=auc[s],
                deviation={t: stdev(v) for t, v in values[s].items()} if len(values[s][tasks[0]]) > 1 else None,
                average=mean(auc[s].values()),
                delta_m_pct=delta_m_pct(auc[s], auc[SINGLE_TASK.name]),
                mean_rank=ranks.get(s),
            )
            for s in self.systems
        ]

    @cached_property
    def confidence(self) -> Confidence:
        """Intervals of the differences in test AUC."""
        return confidence(self.config.tasks, self.rows, self.systems, self.baselines)

    @cached_property
    def findings(self) -> Findings:
        """The figures that its verdicts are drawn from."""
        splits: tuple[Split, ...] = ("val", "test")
        return Findings(
            tasks=self.config.tasks,
            metrics={split: mean_metrics(self.systems, split) for split in splits},
            intervals=self.confidence.intervals,
            labels=labels_of(self.prepared, self.config.tasks),
            runs=self.systems,
        )

    @property
    def seeds(self) -> range:
        """The seeds of the networks."""
        return _seeds(self.config)

    @property
    def baselines(self) -> list[str]:
        """Names of the systems that every other system is compared with."""
        return [system.name for system in REFERENCES if system.name in self.systems]

    @property
    def baseline(self) -> str:
        """The baseline that the table's marks ▲ and ▼ refer to."""
        return self.baselines[0]

    @property
    def remarks(self) -> list[str]:
        """Notes on its systems for a reader of the table."""
        boosted = self.systems.get(BOOSTING.name)
        boosting = boosting_notes(self.prepared, boosted) if boosted else []
        return boosting + same_methods(self.systems, len(self.config.tasks))

    @property
    def path(self) -> Path:
        """The file of the comparison's results."""
        return result_path(self.config.runs / "comparisons", self.config.name, self.fingerprint)

    def candidates(self) -> list[Candidate]:
        """The methods with their validation AUC, each with the run of its best seed by ``train.select_by``.

        What ``compare.candidates`` asks for follows them.
        """
        rows = {row.system: row for row in self.table("val")}
        runs = {s: best_run(self.systems[s], self.config) for s in rows if System.named(s).is_registrable} | self.made
        aucs = {s: rows[SINGLE_TASK.name if s == BUNDLE.name else s].auc for s in runs}
        if ENSEMBLE.name in runs:  # the validation rows have chosen its members: their AUC would flatter it
            aucs[ENSEMBLE.name] = {t: runs[ENSEMBLE.name].val[t][CROSS_FITTED] for t in self.config.tasks}
            if any(map(isnan, aucs[ENSEMBLE.name].values())):  # a half of the rows has labels of one class
                del aucs[ENSEMBLE.name]
        single = rows[SINGLE_TASK.name].auc
        return [Candidate(s, runs[s], auc, delta_m_pct(auc, single)) for s, auc in aucs.items()]


def plan_networks(config: RunConfig) -> list[PlannedRun]:
    """Every run of a comparison: the single-task models, then each method, for each seed."""
    seeds = _seeds(config)
    single = [PlannedRun(SINGLE_TASK, _changed(config, UNIFORM.name, (t,), s)) for s in seeds for t in config.tasks]
    return single + [
        PlannedRun(System(m), _changed(config, m, config.train.tasks, s)) for m in config.compare.methods for s in seeds
    ]


def plan_boosting(config: RunConfig) -> list[PlannedRun]:
    """The boosting runs, one a task, unless the config leaves them out; one seed, since seeds hardly change them."""
    seed = config.train.seed
    wanted = config.tasks if config.compare.boosting else ()
    return [PlannedRun(BOOSTING, _changed(config, UNIFORM.name, (t,), seed)) for t in wanted]


def plan_candidates(config: RunConfig) -> list[PlannedRun]:
    """The runs that are made of the others for ``compare.candidates``."""
    return [PlannedRun(CANDIDATES[name], config) for name in config.compare.candidates]


def comparison_fingerprint(config: RunConfig, prepared: Prepared) -> str:
    """The fingerprint of a comparison, known before its runs are trained."""
    folders = [(p.system.name, run_folder(p.config, prepared).name) for p in plan_networks(config)]
    folders += [(p.system.name, boosting_folder(p.config, prepared).name) for p in plan_boosting(config)]
    # Comparisons of before could not serve other models than networks: without any they keep their fingerprints.
    made = [(config.compare.candidates, config.compare.ensemble_members)] if config.compare.candidates else []
    return fingerprint(folders + made)


def _seeds(config: RunConfig) -> range:
    return range(config.train.seed, config.train.seed + config.compare.seeds)


def _changed(config: RunConfig, method: str, tasks: Sequence[str], seed: int) -> RunConfig:
    select_by = config.train.selection.among(tuple(tasks) or config.tasks).text
    changes = {"method": method, "tasks": tuple(tasks), "seed": seed, "select_by": select_by}
    train_config = config.train.model_copy(update=changes)
    return config.model_copy(update={"train": train_config})


def _aucs(found: list[Run], task: str, split: Split) -> list[float]:
    """A system's AUC of one task, one a seed."""
    metrics = [run.test if split == "test" else run.val for run in found if task in run.tasks]
    return [m[task]["auc"] for m in metrics]
