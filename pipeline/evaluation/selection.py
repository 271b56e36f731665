"""The metric that a model is chosen by: the mean over the tasks, or the metric of one task, with its direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from features.nearest import nearest
from pipeline.evaluation.catalogue import METRICS, Metric

Metrics = Mapping[str, Mapping[str, float]]
_CHOSEN_BY = {metric.name: metric for metric in METRICS if metric.higher_is_better is not None}
_NAMES = _CHOSEN_BY | {alias: metric for metric in _CHOSEN_BY.values() for alias in metric.aliases}


@dataclass(frozen=True)
class Selection:
    """A metric to choose by.

    Args:
        metric: The metric, which has a direction.
        task: The task whose metric counts; empty for the mean over the tasks.
    """

    metric: Metric
    task: str = ""

    @classmethod
    def parse(cls, text: str) -> Selection:
        """The selection that a text such as ``"auc"`` or ``"logloss.purchase"`` names.

        Raises:
            ValueError: If there is no such metric, or it has no direction. All choices are listed.
        """
        return _parse(text)

    @property
    def text(self) -> str:
        """The text that names the selection, with the metric's own name."""
        return f"{self.metric.name}.{self.task}" if self.task else self.metric.name

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.metric.title} of {self.task}" if self.task else self.metric.title

    @property
    def is_rising(self) -> bool:
        """Whether the highest value is the best."""
        return bool(self.metric.higher_is_better)

    def among(self, tasks: tuple[str, ...]) -> Selection:
        """The selection for a run of these tasks; by the mean over them if the selection's own task is not among them.

        A single task's mean is its own metric, so the models of one task are the same whichever task is named.
        """
        return self if self.task in tasks and len(tasks) > 1 else Selection(self.metric)

    def is_behind(self, value: float, other: float) -> bool:
        """Whether a value is worse than another."""
        return value < other if self.is_rising else value > other

    def value(self, metrics: Metrics) -> float:
        """The value that is compared; NaN if it is not defined, or not recorded, for one of the tasks."""
        counted = [self.task] if self.task else [*metrics]
        return fmean(metrics[task].get(self.metric.name, math.nan) for task in counted)

    def score(self, metrics: Metrics) -> float:
        """The value with the sign that makes higher better; the worst possible one where it is not defined."""
        value = self.value(metrics)
        if math.isnan(value):
            return -math.inf
        return value if self.is_rising else -value


@cache
def _parse(text: str) -> Selection:
    name, _, task = text.partition(".")
    if name in _NAMES:
        return Selection(_NAMES[name], task)
    near = f"did you mean `{n}`? " if (n := nearest(name, _NAMES)) else ""
    rule = f"a model is chosen by one of {', '.join(_CHOSEN_BY)}"
    raise ValueError(f"{near}{rule}: the mean over the tasks, or a task's own as in auc.buy")
