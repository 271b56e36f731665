"""The factor of each task's loss: its declared weight, times one that follows from its training prevalence.

One more rule is one more entry of :data:`RULES`, and its name among the choices of
:class:`pipeline.config.train.TrainConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared

# From a task's training prevalence, in (0, 1), to its factor before all are divided by their mean.
RULES: dict[str, Callable[[float], float]] = {
    "equal": lambda rate: 1.0,  # noqa: ARG005  # all rules have one signature
    "inverse_rate": lambda rate: 1 / rate,
    "sqrt_inverse_rate": lambda rate: rate**-0.5,
    # The log loss of a constant prediction, so that every task's loss starts near the same number.
    "inverse_entropy": lambda rate: -1 / (rate * math.log(rate) + (1 - rate) * math.log(1 - rate)),
}


def task_weights(config: RunConfig, prepared: Prepared) -> list[float]:
    """The factors of the tasks' losses, in order.

    Args:
        config: The run. By ``train.task_weights``, the factor of a task with prevalence p is 1 / p (``inverse_rate``),
            1 / sqrt(p) (``sqrt_inverse_rate``) or 1 / H(p) (``inverse_entropy``, H in nats). These are divided by their
            mean over the run's tasks, so that a single task's is 1, and multiplied by the task's declared weight.
        prepared: Its data, with the prevalences.
    """
    rule = RULES[config.train.task_weights]
    factors = [rule(prepared.prevalence(task)) for task in config.tasks]
    mean = math.fsum(factors) / len(factors)
    declared = (config.spec.tasks[task].weight for task in config.tasks)
    return [weight * factor / mean for weight, factor in zip(declared, factors, strict=True)]
