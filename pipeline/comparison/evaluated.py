"""Metrics of a model in the form that is served, over all rows of a split, read a window at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.data.batches import WINDOW
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.metrics import Evaluator
from pipeline.runs.plan import Split
from pipeline.runs.run import Metrics
from pipeline.serving.kinds.base import Predictor


def evaluated(predictor: Predictor, prepared: Prepared, split: Split, tasks: Sequence[str]) -> Metrics:
    """Each task's metrics.

    Args:
        predictor: The model.
        prepared: The data.
        split: The rows.
        tasks: The tasks that it predicts.
    """
    evaluator = Evaluator(tasks)
    for window in _windows(prepared, split, tasks):
        probability_NT = predictor.probabilities(window)[:, : len(tasks)].numpy()
        group_N = None if window.group_N is None else window.group_N.numpy()
        evaluator.update(window.labels_NT.numpy(), probability_NT, group_N)
    return evaluator.result()


def _windows(prepared: Prepared, split: Split, tasks: Sequence[str]) -> Iterator[Window]:
    spec, rows = prepared.encoder().spec, prepared.scan(split)
    for start in range(0, prepared.rows[split], WINDOW):
        yield Window.of(rows.slice(start, WINDOW).collect(), spec, tasks)
