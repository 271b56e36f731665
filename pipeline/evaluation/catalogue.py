"""Every metric of a task's predictions: its name, its words, its direction and its formula.

One more metric is one more entry of :data:`METRICS`: it is recorded, sent to MLflow, shown in the report, and can be
chosen by (:mod:`pipeline.evaluation.selection`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.evaluation.ranking import Curve, Grouped


@dataclass(frozen=True)
class Measured:
    """Sums over the rows of one task whose label is known.

    Args:
        rows: Number of rows.
        positives: Number of rows with label 1.
        predicted: Sum of the predicted probabilities.
        loss: Sum of the log losses, in nats.
        curve: The rows in order of their scores.
        grouped: The rows by group; None without groups.
    """

    rows: int
    positives: int
    predicted: float
    loss: float
    curve: Curve
    grouped: Grouped | None = None

    @property
    def logloss(self) -> float:
        """The mean log loss."""
        return ratio(self.loss, self.rows)


@dataclass(frozen=True)
class Metric:
    """One number about a task's predictions.

    Args:
        name: Its name among a run's metrics and in MLflow; it never changes, since stored runs have it.
        title: Its name for people.
        note: Its meaning, unit and direction.
        of: Its value, NaN where it is not defined; None for no value at all, as without groups.
        higher_is_better: Its direction; None if a model cannot be chosen by it.
        aliases: Other names under which ``train.select_by`` takes it.
        is_reported: Whether a report has a table of it; the AUC has tables of its own.
    """

    name: str
    title: str
    note: str
    of: Callable[[Measured], float | None]
    higher_is_better: bool | None = None
    aliases: tuple[str, ...] = ()
    is_reported: bool = True


def ratio(part: float, whole: float) -> float:
    """A share; NaN of nothing."""
    return float(part / whole) if whole else float("nan")


def _normalised_entropy(measured: Measured) -> float:
    return ratio(measured.logloss, _entropy(ratio(measured.positives, measured.rows)))


def _entropy(rate: float) -> float:
    """Entropy of a coin, in nats."""
    return rate if math.isnan(rate) else -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)


def _calibration_error(measured: Measured) -> float:
    predicted, positives, rows = measured.curve.deciles()
    return ratio(float(abs(predicted - positives).mean()), rows)


METRICS = (
    Metric(
        "auc",
        "AUC",
        "the share of pairs of a positive and a negative row that are ranked rightly, ties as half; higher is better",
        lambda measured: measured.curve.auc()[0],
        higher_is_better=True,
        is_reported=False,
    ),
    Metric(
        "auc_error",
        "AUC error",
        "the greatest possible error of the AUC; 0 where it is exact",
        lambda measured: measured.curve.auc()[1],
        is_reported=False,
    ),
    Metric(
        "ap",
        "Average precision",
        "the precision at each positive row, averaged; the base rate is that of chance; higher is better",
        lambda measured: measured.curve.average_precision(),
        higher_is_better=True,
        aliases=("average_precision", "pr_auc"),
    ),
    Metric(
        "gauc",
        "GAUC",
        "the mean of the AUC within the groups of `spec.group`; higher is better",
        lambda measured: measured.grouped.auc() if measured.grouped else None,
        higher_is_better=True,
    ),
    Metric(
        "gauc_share",
        "GAUC share",
        "the share of groups that GAUC covers: 1, or less where groups are sampled",
        lambda measured: measured.grouped.share if measured.grouped else None,
        is_reported=False,
    ),
    Metric(
        "logloss",
        "Log loss",
        "in nats; lower is better",
        lambda measured: measured.logloss,
        higher_is_better=False,
        aliases=("log_loss",),
    ),
    Metric(
        "normalised_entropy",
        "Normalised entropy",
        "log loss over that of the base rate (He et al., ADKDD 2014); below 1 a model beats it",
        _normalised_entropy,
        higher_is_better=False,
        aliases=("normalized_entropy",),
    ),
    Metric(
        "calibration",
        "Calibration",
        "predicted over actual positives; 1 is best",
        lambda measured: ratio(measured.predicted, measured.positives),
    ),
    Metric(
        "calibration_error",
        "Calibration error",
        "the mean distance between prediction and share of positives over tenths of the rows by score; lower is better",
        _calibration_error,
        higher_is_better=False,
        is_reported=False,
    ),
)
