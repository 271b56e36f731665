"""Candidates that a search's finished runs give together: a bundle, boosted trees, and a greedy ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from statistics import fmean

from pipeline.comparison.candidates import Candidate
from pipeline.comparison.made_of import CROSS_FITTED, MAKERS, Systems, greedy_ensemble
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import delta_m_pct
from pipeline.runs.plan import BOOSTING, BUNDLE, ENSEMBLE, SINGLE_TASK
from pipeline.runs.run import Run

POOL = 30  # runs of trials among which an ensemble chooses: each is scored on the validation rows


def made_candidates(
    baselines: Systems, trials: Mapping[str, Sequence[Run]], config: RunConfig, prepared: Prepared
) -> list[Candidate]:
    """The models of all tasks that are made of finished runs, each found or made now.

    Args:
        baselines: System to its runs: ``single-task`` with one a seed and task, and perhaps ``boosting``, one a task.
        trials: Name of each trade-off to its runs, one a seed; those that are best by ``train.select_by`` on the
            validation rows join the baselines' runs in the ensemble's pool.
        config: The config.
        prepared: The data.
    """
    single = _mean_auc(baselines[SINGLE_TASK.name], config)
    aucs = {BUNDLE.name: single}
    aucs |= {BOOSTING.name: _mean_auc(baselines[BOOSTING.name], config)} if BOOSTING.name in baselines else {}
    made = {system: (MAKERS[system](baselines, config, prepared), auc) for system, auc in aucs.items()}
    pool = {run.fingerprint: run for run in _pool(baselines, trials, config)}
    ensemble = greedy_ensemble([*pool.values()], config, prepared, config.compare.ensemble_members)
    made[ENSEMBLE.name] = ensemble, {task: ensemble.val[task][CROSS_FITTED] for task in config.tasks}
    # Labels of one class in one half of the validation rows leave an ensemble without a figure to compare it by.
    known = {system: (run, auc) for system, (run, auc) in made.items() if not any(map(isnan, auc.values()))}
    return [Candidate(system, run, auc, delta_m_pct(auc, single)) for system, (run, auc) in known.items()]


def _pool(baselines: Systems, trials: Mapping[str, Sequence[Run]], config: RunConfig) -> Iterator[Run]:
    for runs in baselines.values():
        yield from runs
    every = [run for runs in trials.values() for run in runs]
    yield from sorted(every, key=lambda run: -config.train.selection.score(run.val))[:POOL]


def _mean_auc(runs: Sequence[Run], config: RunConfig) -> dict[str, float]:
    """Each task's validation AUC, the mean over the runs that have it."""
    return {task: fmean(run.val[task]["auc"] for run in runs if task in run.tasks) for task in config.tasks}
