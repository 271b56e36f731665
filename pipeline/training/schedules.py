"""The courses of the learning rate, of dropout and of weight decay over a run's steps: factors of the config's values.

A factor depends on the step alone, so that a resumed run goes on exactly. One more course is one more entry of
:data:`SCHEDULES`, and its name among the choices of :class:`pipeline.config.train.TrainConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer

from pipeline.config.train import TrainConfig

# From the number of steps done and that of all steps to the factor of the next step.
Schedule = Callable[[int, int], float]


def constant(step: int, total: int) -> float:
    """1 at every step."""
    del step, total
    return 1.0


def one_cycle(step: int, total: int) -> float:
    """Along a cosine from 4 % up to 1 over the first fifth of the steps, then down to 0."""
    up = total / 5
    if step < up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * step / up)) / 2
    return (1 + math.cos(math.pi * (step - up) / (total - up))) / 2


def warmup(step: int, total: int) -> float:
    """In a straight line up to 1 over the first twentieth of the steps, at least one, then 1.

    The first step has a rate above 0: it is the line's first point after its beginning.
    """
    return min((step + 1) / max(total // 20, 1), 1.0)


def flat_cosine(step: int, total: int) -> float:
    """1 for the first half of the steps, then along a cosine down to 0.

    RealMLP's course of dropout and weight decay (Holzmüller, Grinsztajn and Steinwart, NeurIPS 2024, "flat then
    cosine"): a network that no longer changes fast needs less noise.
    """
    done = step / total
    return 1.0 if done <= 0.5 else (1 + math.cos(math.pi * (2 * done - 1))) / 2


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "one_cycle": one_cycle,
    "warmup": warmup,
    "flat_cosine": flat_cosine,
}


class Regularisation:
    """Dropout and weight decay at each step.

    Under AdamW a matrix shrinks by rate times decay: with a schedule of the rate, both factors count.

    Args:
        model: The network; its layers of dropout have the rates of its config.
        optimizer: Its optimizer; the first of its groups decays, if any does.
        config: The section ``[train]``.
        total: Number of the run's steps if no early stop ends it.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, config: TrainConfig, total: int) -> None:
        self._optimizer, self._config, self._total = optimizer, config, total
        self._rates = [(layer, layer.p) for layer in model.modules() if isinstance(layer, nn.Dropout)]

    def prepare(self, step: int) -> None:
        """Set the values of the step after ``step`` steps."""
        of_dropout, of_decay = (
            SCHEDULES[name](step, self._total) for name in (self._config.dropout_schedule, self._config.decay_schedule)
        )
        for layer, rate in self._rates:
            layer.p = rate * of_dropout
        if self._config.weight_decay:
            # Looked up at each step: loading a state replaces the groups.
            self._optimizer.param_groups[0]["weight_decay"] = self._config.weight_decay * of_decay
