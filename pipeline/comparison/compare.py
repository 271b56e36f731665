"""The comparison of a config: missing runs are trained, and the tables are saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.comparison import boosting
from pipeline.comparison.comparison import Comparison, plan_boosting, plan_candidates, plan_networks
from pipeline.comparison.made_of import MAKERS
from pipeline.comparison.scores import TestRows
from pipeline.comparison.table import save_comparison
from pipeline.comparison.verdicts import verdicts
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import BOOSTING, ENSEMBLE, Callback, PlannedRun
from pipeline.runs.run import Run
from pipeline.training.runner import CallbackList, find_or_train


def compare(config: RunConfig, prepared: Prepared, callbacks: Sequence[Callback]) -> Comparison:
    """Find or train all runs of a comparison, and save its tables.

    Raises:
        InputError: As :func:`pipeline.training.training.train`.
    """
    comparison = with_boosting(train_networks(config, prepared, callbacks), callbacks)
    comparison = with_candidates(comparison, callbacks)
    save_comparison(comparison, verdicts(comparison.findings))
    return comparison


def with_candidates(comparison: Comparison, callbacks: Sequence[Callback]) -> Comparison:
    """A comparison with the models that ``compare.candidates`` asks for, each found or made of its runs."""
    for planned in plan_candidates(comparison.config):
        run = MAKERS[planned.system.name](comparison.systems, comparison.config, comparison.prepared)
        CallbackList(callbacks).on_run_end(planned, run, reused=False)
        if planned.system == ENSEMBLE:
            comparison = replace(comparison, systems={**comparison.systems, ENSEMBLE.name: [run]})
        else:
            comparison = replace(comparison, made={**comparison.made, planned.system.name: run})
    return comparison


def train_networks(config: RunConfig, prepared: Prepared, callbacks: Sequence[Callback]) -> Comparison:
    """Find or train the networks of a comparison; only their runs are saved."""
    planned = plan_networks(config)
    systems: dict[str, list[Run]] = {}
    for p, run in zip(planned, find_or_train(planned, prepared, callbacks, config.compare.workers), strict=True):
        systems.setdefault(p.system.name, []).append(run)
    return Comparison(config, prepared, systems, TestRows(prepared))


def with_boosting(comparison: Comparison, callbacks: Sequence[Callback]) -> Comparison:
    """A comparison of networks with boosting as its last system, found or trained, unless the config leaves it out."""
    planned, callback = plan_boosting(comparison.config), CallbackList(callbacks)
    boosted = [_find_or_boost(p, comparison.prepared, callback) for p in planned]
    systems = comparison.systems | ({BOOSTING.name: boosted} if boosted else {})
    return replace(comparison, systems=systems)


def _find_or_boost(planned: PlannedRun, prepared: Prepared, callback: Callback) -> Run:
    found = boosting.find_boosting(planned.config, prepared)
    run = found or boosting.train_boosting(planned.config, prepared)
    callback.on_run_end(planned, run, reused=found is not None)
    return run
