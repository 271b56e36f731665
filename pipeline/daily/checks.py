"""Checks of a day's data, and of the model that it judges, made before the model may serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log, sqrt

from scipy.special import ndtri

from pipeline.config.run import RunConfig
from pipeline.daily.accuracy import CONFIDENCE, Beside, day_check, model_check
from pipeline.data.drift import Positives, Summary, comparable
from pipeline.data.prepared import Prepared
from pipeline.registry.gate import Check
from pipeline.runs.run import Run


def day_checks(config: RunConfig, prepared: Prepared, found: Summary, aucs: Sequence[Beside]) -> list[Check]:
    """Check whether the day's labels and features look like those of the days before it.

    Args:
        config: The config; its section ``[daily]`` has the limits.
        prepared: Prepared data with the day as test rows.
        found: The day, compared with the training days.
        aucs: The AUCs of each task, on the day and on others.
    """
    judged = (day_check(one, config.daily.max_auc_drop, len(aucs)) for one in aucs)
    return [*_shares(config, found), *judged, *_features(config, prepared, found)]


def model_checks(run: Run, aucs: Sequence[Beside]) -> list[Check]:
    """Check whether the day's model has learnt enough to judge a day by it; its data is not in doubt if not.

    Args:
        run: The run that was trained on the days before.
        aucs: The AUCs of each task, on the day and on others.
    """
    steps = run.history[-1].step
    return [model_check(one, steps, len(aucs)) for one in aucs]


def _shares(config: RunConfig, found: Summary) -> Iterator[Check]:
    most = config.daily.max_label_ratio
    sure = float(ndtri(1 - (1 - CONFIDENCE) / 2 / len(found.positives)))
    for task, (day, training) in found.positives.items():
        words = f"{day.share:.3%} positive ({day.count} rows), {training.share:.3%} in training"
        rule = f"with {CONFIDENCE:.0%} confidence at most {most:g} times more or less"
        yield Check(f"positives of {task}", least_ratio(day, training, sure) <= most, words, rule)


def least_ratio(day: Positives, training: Positives, sure: float) -> float:
    """The factor between two shares of positives, as far as chance rules a smaller one out; at least 1.

    The logarithm of a ratio of counts is about normal, with the sum of their inverses as variance; no positive at all
    counts as half a one.

    Args:
        day: The positives of the day.
        training: Those of the training days.
        sure: The quantile of the standard normal distribution for the confidence.
    """
    counts = [max(one.count, 0.5) for one in (day, training)]
    of_day, of_training = (count / one.known for count, one in zip(counts, (day, training), strict=True))
    return exp(max(0.0, abs(log(of_day / of_training)) - sure * sqrt(sum(1 / count for count in counts))))


def _features(config: RunConfig, prepared: Prepared, found: Summary) -> Iterator[Check]:
    most = config.daily.max_psi
    drifts = comparable(found, prepared) if most else []
    for one in drifts:
        if one.psi is not None:
            yield Check(f"drift of {one.feature}", one.psi <= most, f"PSI {one.psi:.3f}", f"at most {most:g}")
