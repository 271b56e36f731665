"""Metrics of predictions, task by task and batch by batch, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.catalogue import METRICS, Measured, ratio
from pipeline.evaluation.ranking import NO_GROUP, Curve, Grouped, Ranked, words

LIMIT = 5_000_000
_EPS = float(np.finfo(np.float64).eps)  # as scikit-learn's: no prediction costs more than 36 nats

Array = npt.NDArray[np.floating]


class Evaluator:
    """Metrics of any number of rows.

    Args:
        tasks: Task names.
        limit: Largest number of rows held for each task, 4 bytes each, 12 more with groups. Up to it the AUC is exact;
            beyond it scores are counted in a million bins (24 MB a task) and ``auc_error`` bounds the error.
    """

    def __init__(self, tasks: Sequence[str], *, limit: int = LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"`limit` should be at least 1. Found `limit = {limit}`.")
        self._tasks = {task: _Task(task, limit) for task in tasks}

    @property
    def nbytes(self) -> int:
        """Bytes held for rows and bins."""
        return sum(task.ranked.nbytes + (task.grouped.nbytes if task.grouped else 0) for task in self._tasks.values())

    def update(self, labels_BT: Array, probability_BT: Array, group_B: npt.NDArray[np.integer] | None = None) -> None:
        """Add a batch.

        Args:
            labels_BT: 0, 1, or NaN where unknown.
            probability_BT: Predicted probability of label 1; ranked in float32.
            group_B: Groups that GAUC averages over, for example users. Rows of
                :data:`pipeline.evaluation.ranking.NO_GROUP`, or of batches without groups, count in every metric but
                GAUC.

        Raises:
            ValueError: If shapes do not fit, a known label is neither 0 nor 1, or its probability is not in [0, 1].
        """
        shapes = {labels_BT.shape, probability_BT.shape}
        if shapes != {(len(labels_BT), len(self._tasks))} or (group_B is not None and len(group_B) != len(labels_BT)):
            rule = f"`labels_BT` and `probability_BT` should be rows x {len(self._tasks)}, `group_B` as long"
            found = [labels_BT.shape, probability_BT.shape, *([] if group_B is None else [group_B.shape])]
            raise ValueError(f"{rule}. Found {found}.")
        if group_B is not None and group_B.dtype.kind not in "iu":
            raise ValueError(f"`group_B` should hold integers. Found `{group_B.dtype}`.")
        for i, task in enumerate(self._tasks.values()):
            known_B = ~np.isnan(labels_BT[:, i])
            group_N = None if group_B is None else group_B[known_B]
            task.add(labels_BT[known_B, i], probability_BT[known_B, i], group_N)

    def result(self, *, deciles: bool = False) -> dict[str, dict[str, float]]:
        """Each task's metrics over the rows whose label was known.

        They are those of :data:`pipeline.evaluation.catalogue.METRICS` by name, those about groups only where groups
        were given; a metric that needs both classes is NaN without one of them.

        Args:
            deciles: Add ``calibration.decile_1`` (the lowest scores) to ``calibration.decile_10``.
        """
        return {name: task.result(deciles) for name, task in self._tasks.items()}


class _Task:
    """One task's sums and ranks."""

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._rows, self._positives, self._predicted, self._loss = 0, 0, 0.0, 0.0
        self.ranked = Ranked(limit)
        self.grouped: Grouped | None = None

    def add(self, label_N: Array, score_N: Array, group_N: npt.NDArray[np.integer] | None) -> None:
        positive_N, score_N = label_N == 1, score_N.astype(np.float64)
        if not (positive_N | (label_N == 0)).all():
            found = label_N[~(positive_N | (label_N == 0))][0]
            raise ValueError(f"labels of `{self._name}` should be 0, 1 or NaN. Found {found}.")
        if not ((score_N >= 0) & (score_N <= 1)).all():
            found = score_N[~((score_N >= 0) & (score_N <= 1))][0]
            raise ValueError(f"probabilities of `{self._name}` should be in [0, 1]. Found {found}.")
        self._rows += len(label_N)
        self._positives += int(positive_N.sum())
        self._predicted += float(score_N.sum())
        self._loss -= float(np.log(np.where(positive_N, score_N, 1 - score_N).clip(_EPS)).sum())
        word_N = words(score_N, positive_N)
        self.ranked.add(word_N)
        if group_N is not None:
            self.grouped = self.grouped or Grouped(self._limit)
            group_N = group_N.astype(np.int64)
            member_N = group_N != NO_GROUP
            self.grouped.add(group_N[member_N], word_N[member_N])

    def result(self, deciles: bool) -> dict[str, float]:
        curve = self.ranked.curve()
        measured = Measured(self._rows, self._positives, self._predicted, self._loss, curve, self.grouped)
        found = {metric.name: metric.of(measured) for metric in METRICS}
        metrics = {name: value for name, value in found.items() if value is not None}
        return metrics | (_by_decile(curve) if deciles else {})


def _by_decile(curve: Curve) -> dict[str, float]:
    predicted, positives, _ = curve.deciles()
    pairs = zip(predicted, positives, strict=True)
    return {f"calibration.decile_{d}": ratio(p, n) for d, (p, n) in enumerate(pairs, 1)}
