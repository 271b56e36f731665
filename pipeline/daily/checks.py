"""Checks of a day's data, made before a model that was judged by it may serve."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.run import RunConfig
from pipeline.daily.drift import Summary, comparable
from pipeline.data.prepared import Prepared
from pipeline.registry.gate import Check
from pipeline.runs.run import Run


def day_checks(config: RunConfig, prepared: Prepared, run: Run, found: Summary) -> list[Check]:
    """Check whether the day's labels and features look like those of the days before it.

    Args:
        config: The config; its section ``[daily]`` has the limits.
        prepared: Prepared data with the day as test rows.
        run: The run that was trained on the days before it.
        found: The day, compared with the training days.
    """
    return [*_shares(config, found), *_aucs(config, run), *_features(config, prepared, found)]


def _shares(config: RunConfig, found: Summary) -> Iterator[Check]:
    most = config.daily.max_label_ratio
    for task, (day, training) in found.positives.items():
        ratio = max(day, training) / max(min(day, training), 1e-12)
        words = f"{day:.3%} positive, {training:.3%} in training"
        yield Check(f"positives of {task}", ratio <= most, words, f"at most {most:g} times more or less")


def _aucs(config: RunConfig, run: Run) -> Iterator[Check]:
    most = config.daily.max_auc_drop
    for task in run.tasks:
        day, before = run.test[task]["auc"], run.val[task]["auc"]
        words = f"AUC {day:.4f}, {before:.4f} on the day before"
        yield Check(f"AUC of {task} on the day", day >= before - most, words, f"at most {most:g} lower")


def _features(config: RunConfig, prepared: Prepared, found: Summary) -> Iterator[Check]:
    most = config.daily.max_psi
    drifts = comparable(found, prepared) if most else []
    for one in drifts:
        if one.psi is not None:
            yield Check(f"drift of {one.feature}", one.psi <= most, f"PSI {one.psi:.3f}", f"at most {most:g}")
