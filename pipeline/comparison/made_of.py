"""Models that are made of finished runs: a bundle of networks, boosted trees of all tasks, and a greedy ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from pipeline.comparison.evaluated import evaluated
from pipeline.comparison.greedy_ensemble import cross_fitted_auc, select
from pipeline.comparison.packed import packed_together
from pipeline.comparison.scores import TestRows, scores_of
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import fingerprint
from pipeline.runs.plan import BOOSTING, BUNDLE, ENSEMBLE, SINGLE_TASK, System
from pipeline.runs.run import MEMBERS, Run, load_run

Systems = Mapping[str, Sequence[Run]]

# The AUC, among the validation metrics of an ensemble's run, that it is compared by.
CROSS_FITTED = "auc_cross_fitted"
# Raised by one whenever equal runs would give another model or other metrics.
_FORMAT = 2
_ROWS = 200_000


@dataclass(frozen=True)
class Members:
    """What a model is made of.

    Args:
        runs: The members.
        weight_TM: For each task the weight of each member.
        val: Task to further validation metrics.
    """

    runs: Sequence[Run]
    weight_TM: npt.NDArray[np.float64]
    val: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def validation_rows(prepared: Prepared) -> TestRows:
    """The validation rows that ensembles are chosen on: a sample of them above 200,000."""
    return TestRows(prepared, limit=_ROWS, split="val")


def bundle(systems: Systems, config: RunConfig, prepared: Prepared) -> Run:
    """The single-task networks as one model, each of its best seed by ``train.select_by`` on the validation rows."""
    single = systems[SINGLE_TASK.name]
    of_task = [[run for run in single if run.tasks == [task]] for task in config.tasks]
    return _one_a_task(BUNDLE, [_best(runs, config) for runs in of_task], config, prepared)


def boosting(systems: Systems, config: RunConfig, prepared: Prepared) -> Run:
    """The boosted trees of all tasks as one model."""
    by_task = {run.tasks[0]: run for run in systems[BOOSTING.name]}
    return _one_a_task(BOOSTING, [by_task[task] for task in config.tasks], config, prepared)


def ensemble(systems: Systems, config: RunConfig, prepared: Prepared) -> Run:
    """The greedy ensemble of all runs; see :func:`greedy_ensemble`."""
    runs = {run.fingerprint: run for of_system in systems.values() for run in of_system if not run.members}
    return greedy_ensemble([*runs.values()], config, prepared, config.compare.ensemble_members)


def greedy_ensemble(runs: Sequence[Run], config: RunConfig, prepared: Prepared, most: int) -> Run:
    """The run of the ensemble that forward selection on the validation rows makes of finished runs.

    Args:
        runs: Finished runs that were trained on the data: of all tasks, of some, or of one; none made of others.
        config: The config.
        prepared: The data.
        most: The largest number of members of a task, those counted twice that are taken twice.
    """
    return _made(ENSEMBLE, runs, lambda: _chosen(runs, config, prepared, most), config, prepared, most)


def _chosen(runs: Sequence[Run], config: RunConfig, prepared: Prepared, most: int) -> Members:
    """The members of a greedy ensemble, with the weight of each for each task."""
    rows = validation_rows(prepared)
    label_NT, scores = rows.labels(config.tasks), [scores_of(run, rows) for run in runs]
    weight_TM, honest = np.zeros((len(config.tasks), len(runs))), {}
    for t, task in enumerate(config.tasks):
        able = [m for m, run in enumerate(runs) if task in run.tasks]
        score_MN = np.stack([scores[m][:, runs[m].tasks.index(task)] for m in able])
        weight_TM[t, able] = select(label_NT[:, t], score_MN, most)
        honest[task] = {CROSS_FITTED: cross_fitted_auc(label_NT[:, t], score_MN, most)}
    used = np.flatnonzero(weight_TM.any(axis=0)).tolist()
    return Members([runs[m] for m in used], weight_TM[:, used], honest)


def _one_a_task(system: System, runs: Sequence[Run], config: RunConfig, prepared: Prepared) -> Run:
    """The run of a system whose members have one task each, in the order of the config's tasks."""
    return _made(system, runs, lambda: Members(runs, np.eye(len(runs))), config, prepared)


def _made(
    system: System,
    runs: Sequence[Run],
    choose: Callable[[], Members],
    config: RunConfig,
    prepared: Prepared,
    most: int | None = None,
) -> Run:
    """The run of a system, found by the runs that it could be made of, or made and measured."""
    parts = {"format": _FORMAT, "data": prepared.fingerprint, "system": system.name, "tasks": config.tasks}
    folder = config.runs / fingerprint(parts | {"runs": [run.fingerprint for run in runs], "most": most})
    if found := load_run(folder, MEMBERS):
        return found
    chosen = choose()
    members, weight_TM = chosen.runs, chosen.weight_TM
    predictor = packed_together(system.name, config.tasks, members, weight_TM).load(prepared.encoder())
    val = evaluated(predictor, prepared, "val", config.tasks)
    run = Run(
        folder=folder,
        tasks=list(config.tasks),
        method=system.name,
        seed=config.train.seed,
        best_epoch=0,
        val={task: {**metrics, **chosen.val.get(task, {})} for task, metrics in val.items()},
        test=evaluated(predictor, prepared, "test", config.tasks),
        history=[],
        members=[member.fingerprint for member in members],
    )
    return run.save(config, MEMBERS, {"weight_TM": torch.from_numpy(weight_TM.copy())})


def _best(runs: Sequence[Run], config: RunConfig) -> Run:
    (task,) = runs[0].tasks
    selection = config.train.selection.among((task,))
    return max(runs, key=lambda run: selection.score(run.val))


# What makes the run of each of :data:`pipeline.runs.plan.CANDIDATES`, of the runs of a comparison's systems.
MAKERS: dict[str, Callable[[Systems, RunConfig, Prepared], Run]] = {
    BUNDLE.name: bundle,
    BOOSTING.name: boosting,
    ENSEMBLE.name: ensemble,
}
