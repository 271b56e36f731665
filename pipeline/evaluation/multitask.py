"""Measures over all tasks: metrics a task, Δm% and Mean Rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.evaluation.metrics import Evaluator

Values = Mapping[str, float] | Sequence[float]
Ties = Literal["average", "ordinal"]
Name = TypeVar("Name")


def task_metrics(
    labels_NT: npt.NDArray[np.floating],
    probability_NT: npt.NDArray[np.floating],
    tasks: Sequence[str],
    group_N: npt.NDArray[np.integer] | None = None,
) -> dict[str, dict[str, float]]:
    """The metrics of :class:`pipeline.evaluation.metrics.Evaluator` for rows in memory; always exact.

    Args:
        labels_NT: 0, 1, or NaN where unknown.
        probability_NT: Predicted probability of label 1.
        tasks: Task names.
        group_N: Groups that GAUC averages over; without them there is no GAUC.
    """
    evaluator = Evaluator(tasks, limit=max(1, len(labels_NT)))
    evaluator.update(labels_NT, probability_NT, group_N)
    return evaluator.result()


def delta_m_pct(metrics: Values, baseline: Values, higher_is_better: bool | Values = True) -> float:
    """Δm%, the mean relative **drop** against a baseline in percent: lower is better, 0 is the baseline itself.

    ``(100 / T) sum_i (-1)^{l_i} (M_i - B_i) / B_i`` with ``l_i = 1`` where higher is better (GradOPS section 4).

    Args:
        metrics: The method's metric on each task.
        baseline: The baseline's metric on each task, usually that of the single-task models.
        higher_is_better: One truth value for all tasks, or one a task.

    Raises:
        ValueError: If the two do not hold the same tasks, there is no task, or a baseline metric is 0.
    """
    method, base = _aligned(metrics, baseline, "metrics", "baseline")
    if isinstance(higher_is_better, bool):
        sign: npt.NDArray[np.float64] = np.full(len(base), -1.0 if higher_is_better else 1.0)
    else:
        better, _ = _aligned(higher_is_better, baseline, "higher_is_better", "baseline")
        sign = np.where(better.astype(bool), -1.0, 1.0)
    if not base.all():
        raise ValueError(f"`baseline` should not hold 0: a relative drop against it has no value. Found {baseline}.")
    return float(100 * np.mean(sign * (method - base) / base)) + 0.0  # + 0.0 turns -0.0 into 0.0


def mean_rank(table: Mapping[Name, Values], ties: Ties = "average", higher_is_better: bool = True) -> dict[Name, float]:
    """Mean Rank: each method's rank per task, averaged over tasks; 1 is best.

    Args:
        table: Method to its metrics, one a task, the same tasks for all.
        ties: ``"average"`` gives tied methods the mean of their places, whatever the order of the rows; ``"ordinal"``
            breaks ties in the order of the rows, as the published tables do.
        higher_is_better: Whether the highest metric has rank 1.

    Raises:
        ValueError: If the methods do not hold the same tasks, or ``ties`` is unknown.
    """
    if ties not in ("average", "ordinal"):
        raise ValueError(f'`ties` should be "average" or "ordinal". Found `{ties}`.')
    if not table:
        return {}
    first = next(iter(table.values()))
    metrics_MT = np.stack([_aligned(row, first, str(name), "the first row")[0] for name, row in table.items()])
    ranks = pl.from_numpy(metrics_MT).select(pl.all().rank(ties, descending=higher_is_better))
    return dict(zip(table, ranks.select(pl.mean_horizontal(pl.all())).to_series(), strict=True))


def _aligned(values: Values, like: Values, name: str, like_name: str) -> tuple[npt.NDArray[np.float64], ...]:
    """Both as arrays, in the order of the second."""
    if isinstance(values, Mapping) and isinstance(like, Mapping):
        if values.keys() != like.keys():
            found = f"{sorted(values)} and {sorted(like)}"
            raise ValueError(f"`{name}` and `{like_name}` should hold the same tasks. Found {found}.")
        values, like = [values[task] for task in like], list(like.values())
    if isinstance(values, Mapping) or isinstance(like, Mapping) or len(values) != len(like) or not len(like):
        raise ValueError(f"`{name}` and `{like_name}` should both be mappings or both be equally long sequences.")
    return np.asarray(values, dtype=np.float64), np.asarray(like, dtype=np.float64)
