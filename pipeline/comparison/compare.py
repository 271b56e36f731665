"""Everything of a comparison trained, and its tables saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.comparison import boosting
from pipeline.comparison.comparison import Comparison, boosters, plan
from pipeline.comparison.scores import TestRows
from pipeline.comparison.table import save
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.plan import BOOSTING, Observer, Planned
from pipeline.runs.run import Run
from pipeline.training.runner import Everyone, complete


def compare(config: RunConfig, prepared: Prepared, observers: Sequence[Observer]) -> Comparison:
    """Train whatever of a comparison is not done yet, and save its tables.

    Raises:
        InputError: As :func:`pipeline.training.training.train`.
    """
    comparison, everyone = trained(config, prepared, observers), Everyone(observers)
    boosted = [_boosted(p, prepared, comparison.rows, everyone) for p in boosters(config)]
    if boosted:
        comparison = replace(comparison, systems={**comparison.systems, BOOSTING: boosted})
    save(comparison)
    return comparison


def trained(config: RunConfig, prepared: Prepared, observers: Sequence[Observer]) -> Comparison:
    """The networks of a comparison, not saved."""
    planned = plan(config)
    systems: dict[str, list[Run]] = {}
    for p, run in zip(planned, complete(planned, prepared, observers, config.compare.workers), strict=True):
        systems.setdefault(p.system, []).append(run)
    return Comparison(config, prepared, systems, TestRows(prepared))


def _boosted(planned: Planned, prepared: Prepared, rows: TestRows, observer: Observer) -> Run:
    found = boosting.find_boosted(planned.config, prepared, rows)
    run = found or boosting.boost(planned.config, prepared, rows)
    observer.finished(planned, run, reused=found is not None)
    return run
